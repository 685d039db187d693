/** What this page knows of each series: the server's description, the answers given since, and which are loaded ahead. */
import type { ReadingApi } from './api.ts';
import { startGrading, type Grading } from './grading.ts';
import type { ReadingList } from './list.ts';
import type { Outbox } from './outbox.ts';
import type { Answer, Criterion, PresentationDescription } from './types.ts';
import type { FrameStore } from './viewer/frames.ts';

const SERIES_AHEAD = 2;
/** The server gives a series while at most this many before it are not signed off (there: LOADED_AHEAD). */
const UNSIGNED_BEFORE = 3;

export interface Reading {
  readonly description: PresentationDescription;
  grades: Grading;
  comment: string;
  shownAt: number;
}

export class Readings {
  private readonly known = new Map<string, Reading>();
  private readonly asked = new Map<string, Promise<Reading>>();

  constructor(
    private readonly api: ReadingApi,
    private readonly criteria: readonly Criterion[],
    private readonly list: ReadingList,
    private readonly outbox: Outbox,
    private readonly frames: FrameStore,
  ) {}

  /** From memory or from the server; what is still on its way counts as given. */
  get(token: string): Promise<Reading> {
    const known = this.known.get(token);
    if (known) return Promise.resolve(known);
    let asked = this.asked.get(token);
    if (!asked) {
      asked = this.load(token).finally(() => this.asked.delete(token));
      this.asked.set(token, asked);
    }
    return asked;
  }

  /** Whether the server would give the first open series now; what is known already needs no asking. */
  mayAsk(token: string): boolean {
    return this.known.has(token) || this.list.isSignedOff(token) || this.outbox.signOffsWaiting <= UNSIGNED_BEFORE;
  }

  forget(token: string): void {
    this.known.delete(token);
  }

  /** Keep the frames of this series and of the next ones that are known, in this order of loading. */
  keepFrames(reading: Reading): void {
    const { token } = reading.description;
    const ahead = this.list.ahead(token, SERIES_AHEAD).flatMap((place) => this.known.get(place.token) ?? []);
    this.frames.keep([reading, ...ahead].map((kept) => kept.description));
  }

  /** Load the next series while this one is read. What the server would not give yet is asked for at the next sign-off. */
  async prefetch(reading: Reading, isCurrent: () => boolean): Promise<void> {
    for (const [index, place] of this.list.ahead(reading.description.token, SERIES_AHEAD).entries()) {
      if (this.outbox.signOffsWaiting + index + 1 > UNSIGNED_BEFORE) return;
      const known = await this.get(place.token).catch(() => null);
      if (!known || !isCurrent()) return;
      this.keepFrames(reading);
    }
  }

  private async load(token: string): Promise<Reading> {
    const description = await this.api.presentation(token);
    if (description.signed_off) this.list.markSignedOff(token); // perhaps in another tab
    const answers: Record<string, Answer> = { ...description.grades };
    let comment = description.comment;
    for (const entry of this.outbox.entriesOf(token)) {
      if (entry.kind === 'grades') {
        const { criterion, value, cannot_grade } = entry.body as unknown as Answer & { criterion: string };
        answers[criterion] = { value, cannot_grade };
      }
      if (entry.kind === 'comment') comment = String(entry.body['text']);
    }
    const grades = startGrading(this.criteria, answers, this.list.isSignedOff(token));
    const reading: Reading = { description, grades, comment, shownAt: 0 };
    this.known.set(token, reading);
    return reading;
  }
}
