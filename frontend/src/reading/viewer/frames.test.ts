import { describe, expect, it, vi } from 'vitest';
import { FrameStore, littleEndian, type FrameShape } from './frames.ts';
import { middleSlice, outwards } from './order.ts';

const shape = (token: string, slices = 5): FrameShape => ({ token, rows: 2, columns: 3, slices });
const settled = () => new Promise((done) => setTimeout(done, 5));

/** A server whose answers are let go one by one. */
class Line {
  readonly asked: string[] = [];
  readonly aborted: string[] = [];
  readonly open = new Map<string, (bytes: ArrayBuffer) => void>();
  fetch = (token: string, slice: number, signal: AbortSignal) =>
    new Promise<ArrayBuffer>((done, failed) => {
      const name = `${token}/${slice}`;
      this.asked.push(name);
      this.open.set(name, done);
      signal.addEventListener('abort', () => {
        this.aborted.push(name);
        failed(new Error('aborted'));
      });
    });
  async answer(name: string, bytes = new ArrayBuffer(12)): Promise<void> {
    this.open.get(name)?.(bytes);
    this.open.delete(name);
    await settled();
  }
  async answerAll(): Promise<void> {
    while (this.open.size) await this.answer([...this.open.keys()][0]!);
  }
}

describe('order of slices', () => {
  it('goes from the middle outwards and names each slice once', () => {
    expect(outwards(5, middleSlice(5))).toEqual([2, 3, 1, 4, 0]);
    expect(outwards(4, 0)).toEqual([0, 1, 2, 3]);
    for (const slices of [1, 2, 7, 24]) {
      expect([...outwards(slices, middleSlice(slices))].sort((a, b) => a - b)).toEqual([...Array(slices).keys()]);
    }
  });
});

describe('frame store', () => {
  it('loads the current series from the middle outwards, then the next', async () => {
    const line = new Line();
    const store = new FrameStore(line.fetch, { onFrame: () => undefined });
    store.keep([shape('a'), shape('b')]);
    await line.answerAll();
    expect(line.asked).toEqual(['a/2', 'a/3', 'a/1', 'a/4', 'a/0', 'b/2', 'b/3', 'b/1', 'b/4', 'b/0']);
    expect(store.loaded('a')).toBe(5);
  });

  it('puts the slice that is looked at before all that is not asked yet', async () => {
    const line = new Line();
    const store = new FrameStore(line.fetch, { onFrame: () => undefined });
    store.keep([shape('a', 20), shape('b')]);
    void store.want('a', 19);
    await line.answer('a/10');
    expect(line.asked[5]).toBe('a/19');
  });

  it('drops and aborts what is no longer kept, and asks nothing twice for what is', async () => {
    const line = new Line();
    const store = new FrameStore(line.fetch, { onFrame: () => undefined });
    store.keep([shape('a', 20)]);
    const wanted = store.want('a', 19);
    wanted.catch(() => undefined);
    store.keep([shape('b'), shape('c')]);
    await expect(wanted).rejects.toThrow('dropped');
    await settled();
    expect(line.aborted.length).toBeGreaterThan(0);
    expect(store.loaded('a')).toBe(0);
    await line.answerAll();
    const before = line.asked.length;
    store.keep([shape('c')]);
    await settled();
    expect(line.asked).toHaveLength(before);
    expect(store.loaded('c')).toBe(5);
  });

  it('keeps within its limit: the current series always, the next only if it fits', async () => {
    const line = new Line();
    const store = new FrameStore(line.fetch, { onFrame: () => undefined }, 100);
    store.keep([shape('a', 20), shape('b', 20)]);
    await line.answerAll();
    expect(line.asked.some((name) => name.startsWith('b'))).toBe(false);
    expect(store.loaded('a')).toBe(20);
  });

  it('asks again after a failure or a frame of the wrong length', async () => {
    vi.useFakeTimers();
    try {
      const answers = [new ArrayBuffer(3), null, new ArrayBuffer(12)];
      const trouble: number[] = [];
      const store = new FrameStore(
        async () => {
          const bytes = answers.shift();
          if (!bytes) throw new Error('offline');
          return bytes;
        },
        { onFrame: () => undefined, onTrouble: (_, failures) => trouble.push(failures) },
      );
      store.keep([shape('a', 1)]);
      await vi.advanceTimersByTimeAsync(20000);
      expect(store.loaded('a')).toBe(1);
      expect(trouble).toEqual([1, 2, 0]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('reads little-endian values', () => {
    expect([...littleEndian(new Uint8Array([0x34, 0x12, 0xff, 0x0f]).buffer)]).toEqual([0x1234, 4095]);
  });
});
