/** Mouse and wheel on the image: wheel slices, left window, right zoom, middle move, double click reset. */
import type { Viewer } from './viewer.ts';

const NOTCH = 100;
const FINE = 30;
const LINES_TO_PIXELS = 33;
const ZOOM_PER_PIXEL = 1.005;
const ZOOM_PER_NOTCH = 1.15;

/** Turns wheel movements into whole slices: a notch is one slice, a touchpad's small movements add up. */
export class WheelSteps {
  private rest = 0;

  steps(deltaY: number, deltaMode: number): number {
    const pixels = deltaMode === 0 ? deltaY : deltaY * LINES_TO_PIXELS;
    if (Math.abs(pixels) >= NOTCH / 2) {
      this.rest = 0;
      return Math.sign(pixels) * Math.max(1, Math.round(Math.abs(pixels) / (1.2 * NOTCH)));
    }
    if (Math.sign(pixels) !== Math.sign(this.rest)) this.rest = 0;
    this.rest += pixels;
    const steps = Math.trunc(this.rest / FINE) || 0;
    this.rest -= steps * FINE;
    return steps;
  }
}

export function listenToPointer(element: HTMLElement, viewer: Viewer): void {
  const wheel = new WheelSteps();
  let button: number | null = null;
  let last: readonly [number, number] = [0, 0];

  element.addEventListener('contextmenu', (event) => event.preventDefault());
  element.addEventListener('dblclick', () => viewer.reset());
  // Keeps the focus where it is and the middle button from scrolling.
  element.addEventListener('mousedown', (event) => event.preventDefault());
  element.addEventListener('auxclick', (event) => event.preventDefault());

  element.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      if (event.ctrlKey) {
        viewer.zoomBy(event.deltaY < 0 ? ZOOM_PER_NOTCH : 1 / ZOOM_PER_NOTCH);
        return;
      }
      const steps = wheel.steps(event.deltaY, event.deltaMode);
      if (steps) viewer.step(steps);
    },
    { passive: false },
  );

  element.addEventListener('pointerdown', (event) => {
    if (button !== null) return;
    button = event.button;
    last = [event.clientX, event.clientY];
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener('pointermove', (event) => {
    if (button === null) return;
    const right = event.clientX - last[0];
    const down = event.clientY - last[1];
    if (!right && !down) return;
    last = [event.clientX, event.clientY];
    if (button === 0) viewer.dragWindow(right, down);
    else if (button === 1) viewer.panBy(right, down);
    else if (button === 2) viewer.zoomBy(ZOOM_PER_PIXEL ** -down);
  });
  const end = (event: PointerEvent): void => {
    if (event.type === 'pointercancel' || event.buttons === 0) button = null;
  };
  element.addEventListener('pointerup', end);
  element.addEventListener('pointercancel', end);
}
