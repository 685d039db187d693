/** Sizes and times in the words of the server (readerstudy/intake/sizes.py, readerstudy/processing/wording.py). */

const UNITS = ['kB', 'MB', 'GB', 'TB'];

/** 1932735283 becomes "1.9 GB". */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 99.5 ? value.toFixed(1) : value.toFixed(0)} ${UNITS[unit]}`;
}

/** "1.2 of 1.9 GB". */
export function part(arrived: number, whole: number): string {
  const here = size(arrived);
  const all = size(whole);
  const [number, unit] = here.split(' ');
  return all.endsWith(` ${unit}`) ? `${number} of ${all}` : `${here} of ${all}`;
}

/** "about 2 min left". */
export function aboutLeft(seconds: number): string {
  if (seconds < 55) return `about ${Math.max(5, Math.round(seconds / 5) * 5)} s left`;
  if (seconds < 55 * 60) return `about ${Math.max(1, Math.round(seconds / 60))} min left`;
  return `about ${Math.max(1, Math.round(seconds / 3600))} h left`;
}
