/** How long the rest will take, said only when it is known well enough. */

const LONGEST_COUNTED_SECONDS = 20 * 60;
const ENOUGH = 3;

export class Pace {
  private readonly seconds: number[] = [];

  constructor(private readonly known: number | null) {}

  /** Note the time of one series; a long break is not reading time. */
  note(seconds: number): void {
    if (seconds > 0 && seconds <= LONGEST_COUNTED_SECONDS) this.seconds.push(seconds);
  }

  secondsPerSeries(): number | null {
    if (this.seconds.length < ENOUGH) return this.known || null;
    const sorted = [...this.seconds].sort((one, other) => one - other);
    const middle = sorted.length >> 1;
    const upper = sorted[middle] ?? 0;
    return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
  }

  /** "about 58 min left", or "3 series left" while the pace is not known. */
  left(series: number): string {
    if (series === 0) return 'all series signed off';
    const each = this.secondsPerSeries();
    if (each === null) return `${series} series left`;
    const minutes = Math.max(1, Math.round((each * series) / 60));
    return `about ${minutes} min left`;
  }
}
