/** Requests to the reader's API. One way to say what went wrong. */
import type { PresentationDescription, StudyDescription } from './types.ts';
import type { Answered, Entry } from './outbox.ts';

export class Unreachable extends Error {}
/** Nobody is logged in any more, or somebody else is: what this reader said waits for this reader's own login. */
export class LoginEnded extends Error {}

/** The server understood and said no, in words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const LONGEST_ANSWER_MILLISECONDS = 20000;

export class ReadingApi {
  constructor(private readonly base: string) {}

  study(): Promise<StudyDescription> {
    return this.json<StudyDescription>('study');
  }

  presentation(token: string): Promise<PresentationDescription> {
    return this.json<PresentationDescription>(`presentations/${encodeURIComponent(token)}`);
  }

  async frame(token: string, slice: number, signal: AbortSignal): Promise<ArrayBuffer> {
    const response = await this.request(`presentations/${encodeURIComponent(token)}/frames/${slice}`, {}, signal);
    return response.arrayBuffer();
  }

  async session(display: Record<string, unknown>): Promise<void> {
    await this.post('sessions', { display });
  }

  /** Send one entry of the outbox and say how it was taken; never throws. */
  async send(entry: Entry): Promise<Answered> {
    try {
      await this.post(`presentations/${encodeURIComponent(entry.token)}/${entry.kind}`, entry.body);
      return { kind: 'kept' };
    } catch (error) {
      if (error instanceof LoginEnded) return { kind: 'login' };
      if (error instanceof Refused) return { kind: 'refused', message: error.message };
      return { kind: 'unreachable' };
    }
  }

  private post(path: string, body: unknown): Promise<Response> {
    return this.request(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-CSRFToken': csrfToken() },
      body: JSON.stringify(body),
    });
  }

  private async json<T>(path: string): Promise<T> {
    const response = await this.request(path, {});
    return (await response.json()) as T;
  }

  private async request(path: string, init: RequestInit, signal?: AbortSignal): Promise<Response> {
    const timeout = AbortSignal.timeout(LONGEST_ANSWER_MILLISECONDS);
    let response: Response;
    try {
      response = await fetch(this.base + path, {
        ...init,
        credentials: 'same-origin',
        cache: 'no-store',
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
    } catch (error) {
      throw new Unreachable('The server cannot be reached.', { cause: error });
    }
    if (response.ok) return response;
    // 404: this login has no such series, so in another tab somebody else has logged in. Nothing may be thrown away then.
    if ([401, 403, 404].includes(response.status)) throw new LoginEnded('The login has ended.');
    if (response.status === 429 || response.status >= 500) throw new Unreachable('The server does not answer as it should.');
    throw new Refused(response.status, await words(response));
  }
}

async function words(response: Response): Promise<string> {
  try {
    const { message, action } = (await response.json()) as { message?: string; action?: string };
    return [message, action].filter(Boolean).join(' ') || 'The server did not take this.';
  } catch {
    return 'The server did not take this.';
  }
}

/** The cookie is current even after a new login in another tab; the page's own token is for a cookie that is hidden. */
function csrfToken(): string {
  const cookie = /(?:^|;\s*)csrftoken=([^;]+)/.exec(document.cookie)?.[1];
  return cookie ?? document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? '';
}
