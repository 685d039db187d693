import type { Window } from './viewer.ts';

const PIXELS_FOR_ONE_WIDTH = 400;
const NARROWEST = 8;
const WIDEST = 65536;

/**
 * The window after a drag. The step comes from the series' own starting window, which is equal for all series of a
 * subject and sequence, never from the range of the pixels shown: noise would make the same drag act differently.
 */
export function draggedWindow(now: Window, start: Window, right: number, down: number): Window {
  const step = start.width / PIXELS_FOR_ONE_WIDTH;
  return {
    centre: clamp(now.centre + down * step, -WIDEST, WIDEST),
    width: clamp(now.width + right * step, NARROWEST, WIDEST),
  };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
