/** Middle slice, 0-based: the same rule for every series. */
export function middleSlice(slices: number): number {
  return Math.max(0, slices >> 1);
}

/** All slices from `centre` outwards: centre, centre + 1, centre - 1, centre + 2 ... */
export function outwards(slices: number, centre: number): number[] {
  const order: number[] = [];
  for (let distance = 0; order.length < slices; distance++) {
    if (centre + distance < slices) order.push(centre + distance);
    if (distance > 0 && centre - distance >= 0) order.push(centre - distance);
  }
  return order;
}
