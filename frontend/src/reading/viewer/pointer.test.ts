import { describe, expect, it } from 'vitest';
import { WheelSteps } from './pointer.ts';
import { draggedWindow } from './window.ts';

describe('wheel', () => {
  it('moves one slice a notch, whatever unit the browser counts in', () => {
    for (const [delta, mode] of [[100, 0], [120, 0], [53, 0], [3, 1]] as const) {
      expect(new WheelSteps().steps(delta, mode)).toBe(1);
      expect(new WheelSteps().steps(-delta, mode)).toBe(-1);
    }
    expect(new WheelSteps().steps(360, 0)).toBe(3);
  });

  it("adds up a touchpad's small movements and forgets them when it turns", () => {
    const wheel = new WheelSteps();
    const moved = Array.from({ length: 10 }, () => wheel.steps(12, 0)).reduce((sum, step) => sum + step, 0);
    expect(moved).toBe(4);
    expect(wheel.steps(-12, 0)).toBe(0);
  });
});

describe('window drag', () => {
  const start = { centre: 1750, width: 3500 };
  it('widens to the right, raises the level downwards, in steps of the starting window', () => {
    expect(draggedWindow(start, start, 400, 0)).toEqual({ centre: 1750, width: 7000 });
    expect(draggedWindow(start, start, 0, 40)).toEqual({ centre: 2100, width: 3500 });
  });

  it('never closes the window and comes back where it came from', () => {
    expect(draggedWindow(start, start, -10000, 0).width).toBeGreaterThan(1);
    const there = draggedWindow(start, start, 37, -21);
    const back = draggedWindow(there, start, -37, 21);
    expect(back.width).toBeCloseTo(3500);
    expect(back.centre).toBeCloseTo(1750);
  });
});
