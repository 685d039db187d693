/** The page's content from the server: every 2 seconds, rarer while nothing changes or nobody looks. */
import type { PageContent } from './types';

const SHORTEST = 2000;
const LONGEST_SEEN = 10_000;
const LONGEST_HIDDEN = 60_000;

export class Polling {
  private tag = '';
  private wait = SHORTEST;
  private timer: number | undefined;
  private asking = false;

  constructor(
    private readonly address: string,
    private readonly changed: (content: PageContent) => void,
    private readonly reached: (fault: string) => void,
  ) {
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.soon();
    });
    window.addEventListener('online', () => this.soon());
  }

  /** Ask now, and every 2 seconds from here. */
  soon(): void {
    this.wait = SHORTEST;
    window.clearTimeout(this.timer);
    void this.ask();
  }

  private async ask(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      const answer = await fetch(this.address, { headers: this.tag ? { 'If-None-Match': this.tag } : {} });
      if (answer.status === 200) {
        this.tag = answer.headers.get('ETag') ?? '';
        this.changed((await answer.json()) as PageContent);
        this.wait = SHORTEST;
        this.reached('');
      } else if (answer.status === 304) {
        this.wait = Math.min(this.wait * 1.3, LONGEST_SEEN);
        this.reached('');
      } else if (answer.status === 401) {
        this.reached('You are logged out. Log in again in another tab; uploads go on from where they are.');
        this.wait = LONGEST_SEEN;
      } else {
        this.reached('The server does not answer. What you see may be old.');
        this.wait = LONGEST_SEEN;
      }
    } catch {
      this.reached('The connection to the server is broken. Uploads go on when it is back.');
      this.wait = Math.min(this.wait * 1.5, LONGEST_SEEN);
    } finally {
      this.asking = false;
    }
    this.timer = window.setTimeout(() => void this.ask(), document.hidden ? LONGEST_HIDDEN : this.wait);
  }
}
