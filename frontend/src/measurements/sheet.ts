/** Where slices lie on a contact sheet: equal tiles, line by line; lengths in pixels of the sheet. */
export interface Sheet {
  /** Number of its first slice in the series, from 1. */
  first: number;
  slices: number;
  across: number;
  start: readonly [number, number];
  step: readonly [number, number];
}

/** A sheet from the page's seven numbers: first, slices, across, start x and y, step x and y. */
export function readSheet(text: string): Sheet {
  const [first = 1, slices = 0, across = 1, x = 0, y = 0, stepX = 0, stepY = 0] = text.split(' ').map(Number);
  return { first, slices, across, start: [x, y], step: [stepX, stepY] };
}

/** Upper left corner of a slice on its sheet; null: the sheet does not hold it. */
export function placeOf(sheet: Sheet, number: number): { x: number; y: number } | null {
  const index = number - sheet.first;
  if (!(index >= 0 && index < sheet.slices)) return null;
  return {
    x: sheet.start[0] + (index % sheet.across) * sheet.step[0],
    y: sheet.start[1] + Math.floor(index / sheet.across) * sheet.step[1],
  };
}
