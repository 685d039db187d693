/** On what the images are shown: told to the server once for each opening of the page. */
import { Refused, type ReadingApi } from './api.ts';
import { pauseAfter } from './outbox.ts';
import type { DisplayFacts } from './viewer/viewer.ts';

const MOST_TRIES = 6;

export async function noteDisplay(api: ReadingApi, facts: DisplayFacts): Promise<void> {
  const display = {
    ...facts,
    device_pixel_ratio: devicePixelRatio,
    viewport: [innerWidth, innerHeight],
    screen: [screen.width, screen.height],
    colour_depth: screen.colorDepth,
    browser: navigator.userAgent,
  };
  for (let failures = 1; failures < MOST_TRIES; failures++) {
    try {
      await api.session(display);
      return;
    } catch (error) {
      if (error instanceof Refused) return;
      await new Promise((done) => setTimeout(done, pauseAfter(failures)));
    }
  }
}
