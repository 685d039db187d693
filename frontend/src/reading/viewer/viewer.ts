/** The one interface between the page and whatever draws the images. */
import type { SeriesDescription } from '../types.ts';

export interface Window {
  readonly centre: number;
  readonly width: number;
}

/** What is on the screen. */
export interface Shown {
  readonly token: string;
  /** 0-based. */
  readonly slice: number;
  readonly slices: number;
  readonly window: Window;
  /** 1 = the whole image fits. */
  readonly zoom: number;
  /** Screen pixels (CSS) for one row of the image. */
  readonly scale: number;
  /** CSS pixels to the right and down. */
  readonly pan: readonly [number, number];
  readonly inverted: boolean;
  /** The slice that was asked for is not here yet. */
  readonly loading: boolean;
}

export interface DisplayFacts {
  readonly mode: 'webgl' | 'cpu';
  readonly renderer: string;
}

export interface Viewer {
  readonly facts: DisplayFacts;
  /** Show a series from its middle slice with its own window; resolves when the first image is drawn. */
  show(series: SeriesDescription): Promise<void>;
  /** Black, with nothing of the last series left. */
  blank(): void;
  setSlice(slice: number): void;
  step(slices: number): void;
  setWindow(window: Window): void;
  /** Move the window by screen pixels: to the right wider, down a higher level. */
  dragWindow(right: number, down: number): void;
  zoomBy(factor: number): void;
  panBy(right: number, down: number): void;
  invert(): void;
  /** Window, zoom, position and inversion as at the start; the slice stays. */
  reset(): void;
  /** Called after every drawing and whenever the state changes. */
  onShown(listener: (shown: Shown) => void): void;
}
