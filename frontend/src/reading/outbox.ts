/**
 * What the reader said and the server has not confirmed yet. Entries go out one at a time in the order they were made
 * (the newest grade of a criterion counts), live in memory and in the browser's storage until the server answers, and
 * carry their own id, so that sending twice adds once.
 */

/** The last part of the address that the entry is sent to. */
export type EntryKind = 'open' | 'grades' | 'comment' | 'sign-off';

const KINDS: readonly unknown[] = ['open', 'grades', 'comment', 'sign-off'] satisfies EntryKind[];

export interface Entry {
  readonly id: string;
  /** Grows over reloads; keeps the order. */
  readonly number: number;
  readonly token: string;
  readonly kind: EntryKind;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How the server took an entry. */
export type Answered =
  | { readonly kind: 'kept' }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'login' }
  | { readonly kind: 'unreachable' };

export type SaveState = 'saved' | 'saving' | 'offline' | 'login';

export interface Store {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface OutboxOptions {
  readonly store: Store | null;
  readonly send: (entry: Entry) => Promise<Answered>;
  readonly onChange: (state: SaveState, waiting: number) => void;
  readonly onRefused: (entry: Entry, message: string) => void;
  readonly newId?: () => string;
  readonly wait?: (milliseconds: number) => Promise<void>;
}

const PREFIX = 'o.';
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30000;

/** Milliseconds before the next try after so many failures in a row. */
export function pauseAfter(failures: number): number {
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.max(0, failures - 1));
}

export class Outbox {
  private entries: Entry[] = [];
  private running = false;
  private failures = 0;
  private wake: (() => void) | null = null;
  private watching: (() => void)[] = [];
  private current: SaveState = 'saved';
  private highest = 0;

  constructor(private readonly options: OutboxOptions) {}

  get state(): SaveState {
    return this.current;
  }

  /** Grades and remarks on their way; openings and sign-offs are not the reader's words. */
  get waiting(): number {
    return this.entries.filter((entry) => entry.kind === 'grades' || entry.kind === 'comment').length;
  }

  get empty(): boolean {
    return this.entries.length === 0;
  }

  /** Entries of one series that are still on their way, oldest first. */
  entriesOf(token: string): readonly Entry[] {
    return this.entries.filter((entry) => entry.token === token);
  }

  /** How many sign-offs are still on their way. */
  get signOffsWaiting(): number {
    return this.entries.filter((entry) => entry.kind === 'sign-off').length;
  }

  /** Done when the next entry has been answered, whether it was kept or refused. */
  changed(): Promise<void> {
    return new Promise((done) => this.watching.push(done));
  }

  /** Take up what an earlier page left in the store; only what belongs to the given series. */
  restore(tokens: ReadonlySet<string>): void {
    const { store } = this.options;
    if (!store) return;
    for (let index = 0; index < store.length; index++) {
      const key = store.key(index);
      if (!key?.startsWith(PREFIX)) continue;
      const entry = parseEntry(store.getItem(key));
      if (entry && tokens.has(entry.token) && !this.entries.some((known) => known.id === entry.id)) {
        this.entries.push(entry);
        this.highest = Math.max(this.highest, entry.number);
      }
    }
    this.entries.sort((one, other) => one.number - other.number);
    if (this.entries.length) void this.run();
  }

  add(token: string, kind: EntryKind, body: Readonly<Record<string, unknown>>): Entry {
    const id = (this.options.newId ?? (() => crypto.randomUUID()))();
    this.highest = Math.max(this.highest + 1, Date.now());
    const entry: Entry = { id, number: this.highest, token, kind, body: kind === 'grades' ? { id, ...body } : body };
    this.entries.push(entry);
    try {
      this.options.store?.setItem(PREFIX + id, JSON.stringify(entry));
    } catch {
      // A full or forbidden store: memory still holds the entry, and leaving the page warns.
    }
    void this.run();
    return entry;
  }

  /** Try again now: the network or the login is back. */
  retry(): void {
    this.wake?.();
  }

  private async run(): Promise<void> {
    if (this.running) {
      this.tell(this.failures ? this.current : 'saving');
      return;
    }
    this.running = true;
    if (!this.failures) this.tell('saving');
    for (let entry = this.entries[0]; entry; entry = this.entries[0]) {
      const answered = await this.options.send(entry);
      if (answered.kind === 'kept' || answered.kind === 'refused') {
        this.failures = 0;
        this.entries.shift();
        this.options.store?.removeItem(PREFIX + entry.id);
        if (answered.kind === 'refused') this.options.onRefused(entry, answered.message);
        for (const tell of this.watching.splice(0)) tell();
        if (this.entries.length) this.tell('saving');
      } else {
        this.failures += 1;
        this.tell(answered.kind === 'login' ? 'login' : 'offline');
        await this.pause(pauseAfter(this.failures));
      }
    }
    this.running = false;
    this.tell('saved');
  }

  private async pause(milliseconds: number): Promise<void> {
    const wait = this.options.wait ?? ((time: number) => new Promise<void>((done) => setTimeout(done, time)));
    await Promise.race([wait(milliseconds), new Promise<void>((done) => (this.wake = done))]);
    this.wake = null;
  }

  private tell(state: SaveState): void {
    this.current = state;
    this.options.onChange(state, this.waiting);
  }
}

/** The browser's storage; null where its settings forbid it: memory alone, and leaving the page warns. */
export function browserStore(): Store | null {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

function parseEntry(text: string | null): Entry | null {
  if (!text) return null;
  try {
    const value = JSON.parse(text) as Partial<Entry>;
    const whole =
      typeof value.id === 'string' &&
      typeof value.number === 'number' &&
      typeof value.token === 'string' &&
      KINDS.includes(value.kind) &&
      typeof value.body === 'object' &&
      value.body !== null;
    return whole ? (value as Entry) : null;
  } catch {
    return null;
  }
}
