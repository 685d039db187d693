/**
 * Frames of the current series and of the next ones, fetched by one queue and kept in memory.
 *
 * The slice that is looked at comes first, then the current series from the middle outwards, then the next series in
 * their order. What lies outside the kept series is dropped; a frame has exactly rows x columns unsigned 16-bit little
 * endian values.
 */
import { middleSlice, outwards } from './order.ts';

export interface FrameShape {
  readonly token: string;
  readonly rows: number;
  readonly columns: number;
  readonly slices: number;
}

export type FetchFrame = (token: string, slice: number, signal: AbortSignal) => Promise<ArrayBuffer>;

export interface FrameEvents {
  /** A frame arrived. */
  readonly onFrame: (token: string, slice: number) => void;
  /** A frame could not be had and will be asked for again; `failures` counts failures in a row, 0 = working again. */
  readonly onTrouble?: (error: unknown, failures: number) => void;
}

interface Kept {
  readonly shape: FrameShape;
  readonly frames: (Uint16Array | undefined)[];
  loaded: number;
}

interface Waiting {
  readonly promise: Promise<Uint16Array>;
  readonly resolve: (frame: Uint16Array) => void;
  readonly reject: (error: unknown) => void;
}

const AT_ONCE = 5;
const LONGEST_PAUSE = 15000;

export class FrameStore {
  private readonly kept = new Map<string, Kept>();
  private readonly running = new Map<string, AbortController>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly notBefore = new Map<string, number>();
  private urgent: { token: string; slice: number } | null = null;
  private failures = 0;

  constructor(
    private readonly fetchFrame: FetchFrame,
    private readonly events: FrameEvents,
    private readonly limitBytes = 512 * 1024 * 1024,
  ) {}

  /**
   * Keep these series, the current one first, and drop all others. Series after the current one are left out when they
   * do not fit the limit.
   */
  keep(shapes: readonly FrameShape[]): void {
    const fitting = new Set<string>();
    let bytes = 0;
    shapes.forEach((shape, index) => {
      bytes += shape.rows * shape.columns * shape.slices * 2;
      if (index === 0 || bytes <= this.limitBytes) fitting.add(shape.token);
    });
    for (const token of [...this.kept.keys()]) if (!fitting.has(token)) this.drop(token);
    const order = shapes.filter((shape) => fitting.has(shape.token));
    const before = new Map(this.kept);
    this.kept.clear();
    for (const shape of order) {
      const frames = new Array<Uint16Array | undefined>(shape.slices).fill(undefined);
      this.kept.set(shape.token, before.get(shape.token) ?? { shape, frames, loaded: 0 });
    }
    this.pump();
  }

  loaded(token: string): number {
    return this.kept.get(token)?.loaded ?? 0;
  }

  frame(token: string, slice: number): Uint16Array | undefined {
    return this.kept.get(token)?.frames[slice];
  }

  /** The frame now or when it arrives; goes before all others. Rejects when its series is dropped. */
  want(token: string, slice: number): Promise<Uint16Array> {
    const series = this.kept.get(token);
    if (!series) return Promise.reject(new Error('This series is not kept.'));
    const frame = series.frames[slice];
    if (frame) return Promise.resolve(frame);
    this.urgent = { token, slice };
    const name = frameName(token, slice);
    let waiting = this.waiting.get(name);
    if (!waiting) {
      let resolve!: Waiting['resolve'];
      let reject!: Waiting['reject'];
      const promise = new Promise<Uint16Array>((done, failed) => ((resolve = done), (reject = failed)));
      waiting = { promise, resolve, reject };
      this.waiting.set(name, waiting);
    }
    this.pump();
    return waiting.promise;
  }

  /** Ask again now for what failed: the network or the login is back. */
  retry(): void {
    this.notBefore.clear();
    this.pump();
  }

  private drop(token: string): void {
    const series = this.kept.get(token);
    if (!series) return;
    for (let slice = 0; slice < series.shape.slices; slice++) {
      const name = frameName(token, slice);
      this.running.get(name)?.abort();
      this.running.delete(name);
      this.notBefore.delete(name);
      this.waiting.get(name)?.reject(new Error('This series was dropped.'));
      this.waiting.delete(name);
    }
    this.kept.delete(token);
  }

  private next(): { token: string; slice: number } | null {
    const now = Date.now();
    const open = (token: string, slice: number): boolean => {
      const name = frameName(token, slice);
      return (
        this.frame(token, slice) === undefined && !this.running.has(name) && (this.notBefore.get(name) ?? 0) <= now
      );
    };
    if (this.urgent && this.kept.has(this.urgent.token) && open(this.urgent.token, this.urgent.slice)) return this.urgent;
    for (const { shape, loaded } of this.kept.values()) {
      if (loaded === shape.slices) continue;
      for (const slice of outwards(shape.slices, middleSlice(shape.slices))) {
        if (open(shape.token, slice)) return { token: shape.token, slice };
      }
      // A later series starts when the one before is on its way whole.
    }
    return null;
  }

  private pump(): void {
    while (this.running.size < AT_ONCE) {
      const next = this.next();
      if (!next) return;
      void this.load(next.token, next.slice);
    }
  }

  private async load(token: string, slice: number): Promise<void> {
    const name = frameName(token, slice);
    const abort = new AbortController();
    this.running.set(name, abort);
    try {
      const bytes = await this.fetchFrame(token, slice, abort.signal);
      const series = this.kept.get(token);
      if (abort.signal.aborted || !series) return;
      const expected = series.shape.rows * series.shape.columns * 2;
      if (bytes.byteLength !== expected) throw new Error(`A frame has ${bytes.byteLength} bytes, not ${expected}.`);
      const frame = littleEndian(bytes);
      if (!series.frames[slice]) series.loaded += 1;
      series.frames[slice] = frame;
      if (this.failures) this.events.onTrouble?.(null, (this.failures = 0));
      this.waiting.get(name)?.resolve(frame);
      this.waiting.delete(name);
      this.events.onFrame(token, slice);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.failures += 1;
      const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** Math.min(this.failures, 6));
      this.notBefore.set(name, Date.now() + pause);
      setTimeout(() => this.pump(), pause + 5);
      this.events.onTrouble?.(error, this.failures);
    } finally {
      if (this.running.get(name) === abort) this.running.delete(name);
      this.pump();
    }
  }
}

function frameName(token: string, slice: number): string {
  return `${token}/${slice}`;
}

const MACHINE_IS_LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The bytes as unsigned 16-bit values, whatever the machine's own byte order. */
export function littleEndian(bytes: ArrayBuffer): Uint16Array {
  if (MACHINE_IS_LITTLE) return new Uint16Array(bytes);
  const view = new DataView(bytes);
  return Uint16Array.from({ length: bytes.byteLength / 2 }, (_, index) => view.getUint16(2 * index, true));
}
