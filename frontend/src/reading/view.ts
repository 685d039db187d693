/** The image side of the page: canvas, cover, edge letters, read-out, track of loaded slices; data attributes for tests. */
import { element } from './dom.ts';
import type { SeriesDescription } from './types.ts';
import type { DisplayFacts, Shown } from './viewer/viewer.ts';

export class View {
  readonly canvasHost = element('div', { class: 'canvas-host' });
  readonly cover = element('div', { class: 'cover' });
  readonly root: HTMLElement;
  private readonly message = element('p', { class: 'cover-message', role: 'status' });
  private readonly edges = {
    left: element('span', { class: 'edge left' }),
    right: element('span', { class: 'edge right' }),
    top: element('span', { class: 'edge top' }),
    bottom: element('span', { class: 'edge bottom' }),
  };
  private readonly slice = element('span', { class: 'slice' });
  private readonly windowText = element('span');
  private readonly zoomText = element('span');
  private readonly loadingText = element('span', { class: 'loading' });
  private readonly readout: HTMLElement;
  private readonly track = element('div', { class: 'track', 'aria-hidden': 'true' });
  private readonly marker = element('b');
  private ticks: HTMLElement[] = [];

  constructor() {
    this.readout = element('div', { class: 'readout' }, this.slice, this.windowText, this.zoomText, this.loadingText);
    this.cover.append(this.message);
    this.root = element(
      'section',
      { class: 'view', id: 'viewer', 'data-ready': 'false', 'aria-label': 'Image' },
      this.canvasHost,
      ...Object.values(this.edges),
      this.readout,
      this.track,
      this.cover,
    );
  }

  facts(facts: DisplayFacts): void {
    this.root.dataset.mode = facts.mode;
  }

  /** Black: nothing of the last series stays, not even its letters. */
  blank(message = ''): void {
    this.root.dataset.ready = 'false';
    delete this.root.dataset.token;
    delete this.root.dataset.slice;
    this.cover.hidden = false;
    this.message.textContent = message;
    for (const edge of Object.values(this.edges)) edge.textContent = '';
    this.readout.hidden = true;
    this.track.hidden = true;
  }

  start(series: SeriesDescription): void {
    this.ticks = Array.from({ length: series.slices }, () => element('i'));
    this.track.replaceChildren(...this.ticks, this.marker);
    this.track.style.setProperty('--slices', String(series.slices));
  }

  ready(series: SeriesDescription): void {
    for (const side of ['left', 'right', 'top', 'bottom'] as const) this.edges[side].textContent = series.edges[side];
    this.readout.hidden = false;
    this.track.hidden = false;
    this.message.textContent = '';
    this.root.dataset.token = series.token;
    this.root.dataset.ready = 'true';
  }

  loaded(isLoaded: (slice: number) => boolean): void {
    let count = 0;
    this.ticks.forEach((tick, slice) => {
      const here = isLoaded(slice);
      count += Number(here);
      tick.classList.toggle('here', here);
    });
    this.root.dataset.loaded = `${count}/${this.ticks.length}`;
  }

  show(shown: Shown): void {
    const { data } = { data: this.root.dataset };
    data.slice = String(shown.slice + 1);
    data.window = `${shown.window.centre} ${shown.window.width}`;
    data.zoom = shown.zoom.toFixed(3);
    data.pan = shown.pan.map((pixels) => Math.round(pixels)).join(' ');
    data.inverted = String(shown.inverted);
    this.slice.textContent = `Slice ${shown.slice + 1} / ${shown.slices}`;
    this.windowText.textContent = `W ${shown.window.width}  L ${shown.window.centre}`;
    this.zoomText.textContent = `${shown.scale.toFixed(1)}×`;
    this.loadingText.textContent = shown.loading ? 'loading slice' : '';
    this.marker.style.top = `${(100 * (shown.slice + 0.5)) / shown.slices}%`;
  }
}
