import { describe, expect, it } from 'vitest';
import { Outbox, pauseAfter, type Answered, type Entry, type SaveState, type Store } from './outbox.ts';

class MemoryStore implements Store {
  readonly content = new Map<string, string>();
  get length(): number {
    return this.content.size;
  }
  key(index: number): string | null {
    return [...this.content.keys()][index] ?? null;
  }
  getItem(key: string): string | null {
    return this.content.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.content.set(key, value);
  }
  removeItem(key: string): void {
    this.content.delete(key);
  }
}

/** A server that keeps what has a new id, and may fail before or after it kept it. */
class Server {
  readonly kept: Entry[] = [];
  plan: ('ok' | 'lost-before' | 'lost-after' | 'login' | 'refuse')[] = [];
  send = async (entry: Entry): Promise<Answered> => {
    const what = this.plan.shift() ?? 'ok';
    await Promise.resolve();
    if (what === 'lost-before') return { kind: 'unreachable' };
    if (what === 'login') return { kind: 'login' };
    if (what === 'refuse') return { kind: 'refused', message: 'No.' };
    if (!this.kept.some((known) => known.id === entry.id)) this.kept.push(entry);
    return what === 'lost-after' ? { kind: 'unreachable' } : { kind: 'kept' };
  };
}

function make(server: Server, store: Store | null = new MemoryStore()) {
  const states: SaveState[] = [];
  const refused: string[] = [];
  const pauses: number[] = [];
  const outbox = new Outbox({
    store,
    send: server.send,
    onChange: (state) => states.push(state),
    onRefused: (entry, message) => refused.push(`${entry.kind} ${message}`),
    wait: async (milliseconds) => void pauses.push(milliseconds),
  });
  return { outbox, states, refused, pauses };
}

const settled = async () => {
  for (let turn = 0; turn < 200; turn++) await Promise.resolve();
};
const grade = (criterion: string, value: number) => ({ criterion, value, cannot_grade: '', reason: '' });

describe('outbox', () => {
  it('counts the sign-offs on their way, and no other entry', async () => {
    const server = new Server();
    server.plan = ['lost-before'];
    const { outbox } = make(server);
    outbox.add('first', 'grades', {});
    outbox.add('first', 'sign-off', {});
    outbox.add('second', 'sign-off', {});
    expect(outbox.signOffsWaiting).toBe(2);
  });

  it('sends in the order in which things were said and ends saved', async () => {
    const server = new Server();
    const { outbox, states } = make(server);
    outbox.add('t', 'grades', grade('snr', 3));
    outbox.add('t', 'grades', grade('snr', 4));
    outbox.add('t', 'sign-off', {});
    await settled();
    expect(server.kept.map((entry) => entry.body['value'] ?? entry.kind)).toEqual([3, 4, 'sign-off']);
    expect(states[0]).toBe('saving');
    expect(states.at(-1)).toBe('saved');
  });

  it('adds once what was kept although its answer was lost, and tries again with growing pauses', async () => {
    const server = new Server();
    server.plan = ['lost-before', 'lost-after', 'ok'];
    const { outbox, states, pauses } = make(server);
    outbox.add('t', 'grades', grade('snr', 3));
    await settled();
    expect(server.kept).toHaveLength(1);
    expect(states).toContain('offline');
    expect(pauses).toEqual([pauseAfter(1), pauseAfter(2)]);
    expect(pauseAfter(50)).toBe(30000);
  });

  it('holds everything while the login has ended', async () => {
    const server = new Server();
    server.plan = ['login', 'ok'];
    const { outbox, states } = make(server);
    outbox.add('t', 'grades', grade('snr', 3));
    await settled();
    expect(states).toContain('login');
    expect(server.kept).toHaveLength(1);
  });

  it('is taken up by the next page, in order, without the entries of another reader', async () => {
    const store = new MemoryStore();
    const dead = new Server();
    dead.plan = Array.from({ length: 1000 }, () => 'lost-before' as const);
    const first = new Outbox({
      store,
      send: dead.send,
      onChange: () => undefined,
      onRefused: () => undefined,
      wait: () => new Promise(() => undefined),
    });
    first.add('mine', 'grades', grade('snr', 2));
    first.add('mine', 'grades', grade('snr', 5));
    first.add('theirs', 'grades', grade('snr', 1));
    await settled();
    const server = new Server();
    const { outbox } = make(server, store);
    outbox.restore(new Set(['mine']));
    expect(outbox.entriesOf('mine')).toHaveLength(2);
    await settled();
    expect(server.kept.map((entry) => entry.body['value'])).toEqual([2, 5]);
    expect(store.length).toBe(1);
  });

  it('tells a refusal once and goes on', async () => {
    const server = new Server();
    server.plan = ['refuse', 'ok'];
    const { outbox, refused } = make(server);
    outbox.add('t', 'grades', grade('snr', 3));
    outbox.add('t', 'comment', { text: 'x' });
    await settled();
    expect(refused).toEqual(['grades No.']);
    expect(server.kept.map((entry) => entry.kind)).toEqual(['comment']);
  });

  it('works without a store and with broken content in it', async () => {
    const server = new Server();
    make(server, null).outbox.add('t', 'grades', grade('snr', 3));
    const store = new MemoryStore();
    store.setItem('o.1', '{"id": 1');
    store.setItem('o.2', '{"id": "a", "token": "t"}');
    store.setItem('other', 'x');
    make(server, store).outbox.restore(new Set(['t']));
    await settled();
    expect(server.kept).toHaveLength(1);
  });
});
