/**
 * The viewer by cornerstone3D: one rendering engine and one stack viewport for the page's life.
 *
 * Window, zoom, position and inversion are held here and given to the library again after every image: when it draws
 * without WebGL it forgets them (seen with 5.14.0), and a window set by the reader must survive the next slice.
 */
import {
  Enums,
  RenderingEngine,
  cache,
  getShouldUseCPURendering,
  init,
  utilities,
  type Types,
} from '@cornerstonejs/core';
import type { SeriesDescription } from '../types.ts';
import type { FrameStore } from './frames.ts';
import { imageIdsOf, registerLoader } from './loader.ts';
import { middleSlice } from './order.ts';
import type { DisplayFacts, Shown, Viewer, Window } from './viewer.ts';
import { draggedWindow } from './window.ts';

const ENGINE = 'engine';
const VIEWPORT = 'series';
const SMALLEST_ZOOM = 0.2;
const LARGEST_ZOOM = 20;
/** Black between two series, so that they cannot be compared by flicker. */
const BLACK_MILLISECONDS = 250;

export class CornerstoneViewer implements Viewer {
  readonly facts: DisplayFacts;
  private readonly engine: RenderingEngine;
  private readonly viewport: Types.IStackViewport;
  private readonly listeners: ((shown: Shown) => void)[] = [];
  private series: SeriesDescription | null = null;
  private wanted = 0;
  private window: Window = { centre: 0, width: 1 };
  private zoom = 1;
  private pan: [number, number] = [0, 0];
  private inverted = false;
  /** The library's own zoom value when the image fits: 1 with WebGL, pixels per pixel without. */
  private fit = 1;
  private opening = 0;
  private drawn: (() => void) | null = null;

  constructor(
    private readonly element: HTMLDivElement,
    private readonly cover: HTMLElement,
    private readonly frames: FrameStore,
  ) {
    init({ rendering: { webGlContextCount: 1 } } as Types.Cornerstone3DConfig);
    this.facts = { mode: getShouldUseCPURendering() ? 'cpu' : 'webgl', renderer: rendererName() };
    cache.setMaxCacheSize(256 * 1024 * 1024);
    registerLoader(
      (token) => (this.series?.token === token ? this.series : undefined),
      (token, slice) => this.frames.want(token, slice),
    );
    this.engine = new RenderingEngine(ENGINE);
    this.engine.enableElement({
      viewportId: VIEWPORT,
      type: Enums.ViewportType.STACK,
      element,
      defaultOptions: { background: [0, 0, 0] },
    });
    this.viewport = this.engine.getViewport(VIEWPORT) as Types.IStackViewport;
    element.addEventListener(Enums.Events.IMAGE_RENDERED, () => this.afterDrawing());
    new ResizeObserver(() => this.resized()).observe(element);
  }

  onShown(listener: (shown: Shown) => void): void {
    this.listeners.push(listener);
  }

  blank(): void {
    this.opening += 1;
    this.cover.hidden = false;
    this.series = null;
  }

  async show(series: SeriesDescription): Promise<void> {
    this.blank();
    const opening = this.opening;
    const black = new Promise((done) => setTimeout(done, BLACK_MILLISECONDS));
    cache.purgeCache(); // the frames themselves stay with the frame store
    this.series = series;
    this.wanted = middleSlice(series.slices);
    this.startState(series);
    await this.frames.want(series.token, this.wanted);
    if (opening !== this.opening) return;
    await this.viewport.setStack(imageIdsOf(series), this.wanted);
    if (opening !== this.opening) return;
    this.fitImage();
    this.applyState();
    const drawn = new Promise<void>((done) => (this.drawn = done));
    this.viewport.render();
    await Promise.all([drawn, black]);
    if (opening !== this.opening) return;
    this.cover.hidden = true;
    this.tell();
  }

  setSlice(slice: number): void {
    const { series } = this;
    if (!series) return;
    const wanted = Math.min(series.slices - 1, Math.max(0, Math.round(slice)));
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    if (this.frames.frame(series.token, wanted)) {
      void this.draw(series, wanted);
      return;
    }
    this.tell();
    this.frames.want(series.token, wanted).then(
      () => this.draw(series, wanted),
      () => undefined, // the series was left
    );
  }

  step(slices: number): void {
    this.setSlice(this.wanted + slices);
  }

  setWindow(window: Window): void {
    this.window = { centre: Math.round(window.centre), width: Math.round(window.width) };
    this.redraw();
  }

  dragWindow(right: number, down: number): void {
    if (!this.series) return;
    this.window = draggedWindow(this.window, startWindow(this.series), right, down);
    this.redraw();
  }

  zoomBy(factor: number): void {
    if (!this.series) return;
    this.zoom = Math.min(LARGEST_ZOOM, Math.max(SMALLEST_ZOOM, this.zoom * factor));
    this.viewport.setZoom(this.fit * this.zoom);
    this.redraw();
  }

  panBy(right: number, down: number): void {
    if (!this.series) return;
    this.moveCamera(right, down);
    this.pan = [this.pan[0] + right, this.pan[1] + down];
    this.redraw();
  }

  invert(): void {
    this.inverted = !this.inverted;
    this.redraw();
  }

  reset(): void {
    if (!this.series) return;
    this.startState(this.series);
    this.fitImage();
    this.redraw();
  }

  private async draw(series: SeriesDescription, slice: number): Promise<void> {
    if (this.series !== series || this.wanted !== slice) return;
    await this.viewport.setImageIdIndex(slice);
    if (this.series !== series || this.wanted !== slice) return;
    this.redraw();
  }

  private startState(series: SeriesDescription): void {
    this.window = startWindow(series);
    this.zoom = 1;
    this.pan = [0, 0];
    this.inverted = false;
  }

  private fitImage(): void {
    this.viewport.resetCamera({ resetPan: true, resetZoom: true });
    this.fit = this.viewport.getZoom();
  }

  private moveCamera(right: number, down: number): void {
    // Without WebGL the canvas has CSS pixels but the library converts as if it had the screen's (seen with 5.14.0).
    const { canvas } = this.viewport;
    const factor = canvas.width / (canvas.clientWidth * devicePixelRatio);
    const from = this.viewport.canvasToWorld([0, 0]);
    const to = this.viewport.canvasToWorld([right * factor, down * factor]);
    const { focalPoint, position } = this.viewport.getCamera();
    if (!focalPoint || !position) return;
    const moved = (point: Types.Point3): Types.Point3 => [
      point[0] - (to[0] - from[0]),
      point[1] - (to[1] - from[1]),
      point[2] - (to[2] - from[2]),
    ];
    this.viewport.setCamera({ focalPoint: moved(focalPoint), position: moved(position) });
  }

  private applyState(): void {
    const { lower, upper } = utilities.windowLevel.toLowHighRange(this.window.width, this.window.centre);
    this.viewport.setProperties({
      voiRange: { lower, upper },
      invert: this.inverted,
      interpolationType: Enums.InterpolationType.LINEAR, // the same for every series
    });
  }

  private redraw(): void {
    if (!this.series) return;
    this.applyState();
    this.viewport.render();
  }

  private afterDrawing(): void {
    this.drawn?.();
    this.drawn = null;
    this.tell();
  }

  private resized(): void {
    if (!this.element.clientWidth || !this.element.clientHeight) return;
    this.engine.resize(true, false);
    if (!this.series || !this.cover.hidden) return;
    const { zoom, pan } = this;
    this.fitImage();
    if (zoom !== 1) this.viewport.setZoom(this.fit * zoom);
    if (pan[0] || pan[1]) this.moveCamera(pan[0], pan[1]);
    this.redraw();
  }

  private tell(): void {
    const { series } = this;
    if (!series || !this.cover.hidden) return;
    const slice = this.viewport.getCurrentImageIdIndex();
    const shown: Shown = {
      token: series.token,
      slice,
      slices: series.slices,
      window: { centre: Math.round(this.window.centre), width: Math.round(this.window.width) },
      zoom: this.zoom,
      scale: this.zoom * fitScale(series, this.element),
      pan: this.pan,
      inverted: this.inverted,
      loading: slice !== this.wanted || !this.frames.frame(series.token, this.wanted),
    };
    for (const listener of this.listeners) listener(shown);
  }
}

function startWindow(series: SeriesDescription): Window {
  return { centre: series.window[0], width: series.window[1] };
}

/** CSS pixels for one row when the whole image fits. */
function fitScale(series: SeriesDescription, element: HTMLElement): number {
  const [rowSpacing, columnSpacing] = series.spacing_mm;
  const height = series.rows * rowSpacing;
  const width = series.columns * columnSpacing;
  return Math.min(element.clientHeight / height, element.clientWidth / width) * rowSpacing;
}

function rendererName(): string {
  const context = document.createElement('canvas').getContext('webgl2');
  if (!context) return '';
  const debug = context.getExtension('WEBGL_debug_renderer_info');
  const name: unknown = context.getParameter(debug ? debug.UNMASKED_RENDERER_WEBGL : context.RENDERER);
  context.getExtension('WEBGL_lose_context')?.loseContext();
  return typeof name === 'string' ? name : '';
}
