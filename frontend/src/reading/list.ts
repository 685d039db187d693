/** The reader's list: what is signed off, what comes next, where the reader may go. */
import type { Place } from './types.ts';

export class ReadingList {
  readonly places: readonly Place[];
  private readonly done: Set<string>;

  constructor(
    places: readonly Place[],
    readonly allowBack: boolean,
  ) {
    this.places = [...places].sort((one, other) => one.position - other.position);
    this.done = new Set(this.places.filter((place) => place.signed_off).map((place) => place.token));
  }

  get length(): number {
    return this.places.length;
  }

  get signedOff(): number {
    return this.done.size;
  }

  place(token: string): Place | undefined {
    return this.places.find((place) => place.token === token);
  }

  isSignedOff(token: string): boolean {
    return this.done.has(token);
  }

  markSignedOff(token: string, done = true): void {
    if (done) this.done.add(token);
    else this.done.delete(token);
  }

  /** The first series without sign-off: the one to read now. */
  open(): Place | undefined {
    return this.places.find((place) => !this.done.has(place.token));
  }

  /** The series after the given one that will be shown next: those not signed off, in order. */
  ahead(token: string, count: number): Place[] {
    return this.places.filter((place) => !this.done.has(place.token) && place.token !== token).slice(0, count);
  }

  /** The neighbour in the list, or why it may not be opened. */
  neighbour(token: string, step: 1 | -1): { place: Place } | { why: string } {
    const place = this.places[this.places.findIndex((candidate) => candidate.token === token) + step];
    if (!place) return { why: step > 0 ? 'This is the last series of your list.' : 'This is the first series of your list.' };
    if (step < 0 && !this.allowBack) return { why: 'In this study, signed-off series are not opened again.' };
    if (this.done.has(place.token) || place.token === this.open()?.token) return { place };
    return { why: 'Sign off this series first; the list is read in its order.' };
  }
}
