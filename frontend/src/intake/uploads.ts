/**
 * Sending files by tus: a queue, two at a time, each part with its SHA-256, on after a dropped connection or a reload.
 */
import { DefaultHttpStack, type DetailedError, type HttpRequest, type HttpResponse, type HttpStack, Upload } from 'tus-js-client';
import { csrfToken, sentence } from './http';
import type { AcquisitionRow, Addresses } from './types';

/** A part is short enough to be sent again without pain, and long enough for fsync not to matter. */
export const PART_BYTES = 16 * 1024 * 1024;
const AT_ONCE = 2;
const RETRY_DELAYS = [0, 1000, 2000, 4000, 8000, 15_000, 30_000, 30_000, 60_000, 60_000, 60_000, 60_000];
/** 423: another request still holds the upload; 460: a part arrived changed; 408, 409: the server stands elsewhere. */
const GOES_ON = [408, 409, 423, 429, 460];

export type Phase = 'waiting' | 'sending' | 'paused' | 'failed' | 'sent';

/** One file on its way. */
export interface Sending {
  row: string;
  file: File;
  phase: Phase;
  sent: number;
  secondsLeft: number | null;
  fault: string;
  /** Whether it is of no use to go on: the server does not take this file. */
  final: boolean;
  upload: Upload;
}

/** What the same file is known by later. The content is not read; the server checks the whole at the end. */
export function fingerprint(file: File): string {
  return [file.name, file.size, file.lastModified].join('|').slice(-200);
}

/** Adds Upload-Checksum to every part where the browser can hash (https and localhost). */
class HashingStack implements HttpStack {
  private readonly plain = new DefaultHttpStack({});

  createRequest(method: string, url: string): HttpRequest {
    const request = this.plain.createRequest(method, url);
    const send = request.send.bind(request);
    let stopped = false;
    const abort = request.abort.bind(request);
    request.abort = () => {
      stopped = true;
      return abort();
    };
    request.send = async (body: unknown): Promise<HttpResponse> => {
      if (method === 'PATCH' && body instanceof Blob && body.size > 0 && globalThis.crypto?.subtle) {
        const digest = await crypto.subtle.digest('SHA-256', await body.arrayBuffer());
        if (stopped) throw new Error('stopped');
        request.setHeader('Upload-Checksum', `sha256 ${btoa(String.fromCharCode(...new Uint8Array(digest)))}`);
      }
      return send(body);
    };
    return request;
  }

  getName(): string {
    return 'HashingStack';
  }
}

export class Uploads {
  private readonly all = new Map<string, Sending>();
  private readonly stack = new HashingStack();

  constructor(
    private readonly addresses: Addresses,
    /** Something moved in the row with this id. */
    private readonly moved: (row: string) => void,
    /** A file was sent to its end, or its upload ended. */
    private readonly ended: () => void,
  ) {
    window.addEventListener('online', () => this.goOnAll());
    window.addEventListener('beforeunload', (event) => {
      if (this.busy()) event.preventDefault();
    });
  }

  /** Whether this browser began the upload at `address` (and may have lost the file by a reload). */
  began(address: string): boolean {
    try {
      return Object.keys(localStorage).some(
        (key) => key.startsWith('tus::readerstudy|') && (localStorage.getItem(key) ?? '').includes(address),
      );
    } catch {
      return false; // storage is switched off
    }
  }

  of(row: string): Sending | undefined {
    return this.all.get(row);
  }

  busy(): boolean {
    return [...this.all.values()].some((each) => each.phase === 'sending' || each.phase === 'waiting');
  }

  /** Send a file to a row; an unfinished upload of the same file goes on where it stands. */
  add(row: AcquisitionRow, file: File): void {
    const before = this.all.get(row.id);
    if (before) void before.upload.abort().catch(() => undefined);
    const known = fingerprint(file);
    const same = row.upload !== null && row.upload.fingerprint === known && row.upload.length === file.size;
    const sending: Sending = {
      row: row.id,
      file,
      phase: 'waiting',
      sent: same && row.upload ? row.upload.offset : 0,
      secondsLeft: null,
      fault: '',
      final: false,
      upload: undefined as unknown as Upload,
    };
    sending.upload = this.tus(row, sending, known, same && row.upload ? row.upload.address : null);
    this.all.set(row.id, sending);
    this.moved(row.id);
    this.next();
  }

  pause(row: string): void {
    const sending = this.all.get(row);
    if (!sending || sending.phase === 'sent') return;
    sending.phase = 'paused';
    void sending.upload.abort().catch(() => undefined);
    this.moved(row);
    this.next();
  }

  goOn(row: string): void {
    const sending = this.all.get(row);
    if (!sending || (sending.phase !== 'paused' && sending.phase !== 'failed')) return;
    sending.phase = 'waiting';
    sending.fault = '';
    this.moved(row);
    this.next();
  }

  /** Stop for good: the server removes what has arrived. `address` for an upload that this browser does not send. */
  async remove(row: string, address: string | null): Promise<void> {
    const sending = this.all.get(row);
    this.all.delete(row);
    const url = sending?.upload.url ?? address;
    if (sending) await sending.upload.abort().catch(() => undefined);
    if (url) {
      await fetch(url, {
        method: 'DELETE',
        headers: { 'Tus-Resumable': '1.0.0', 'X-CSRFToken': csrfToken() },
      }).catch(() => undefined);
    }
    this.moved(row);
    this.ended();
    this.next();
  }

  /** Forget a file that is sent, or one that failed and that the person has seen. */
  forget(row: string): void {
    this.all.delete(row);
  }

  private goOnAll(): void {
    for (const sending of this.all.values()) if (sending.phase === 'failed' && !sending.final) this.goOn(sending.row);
  }

  private next(): void {
    const list = [...this.all.values()];
    let running = list.filter((each) => each.phase === 'sending').length;
    for (const sending of list) {
      if (running >= AT_ONCE) return;
      if (sending.phase !== 'waiting') continue;
      sending.phase = 'sending';
      running += 1;
      this.moved(sending.row);
      void this.start(sending);
    }
  }

  private async start(sending: Sending): Promise<void> {
    const { upload } = sending;
    if (!upload.url && !upload.options.uploadUrl) {
      const [before] = await upload.findPreviousUploads().catch(() => []);
      if (before) upload.resumeFromPreviousUpload(before);
    }
    if (sending.phase === 'sending') upload.start();
  }

  private tus(row: AcquisitionRow, sending: Sending, known: string, address: string | null): Upload {
    const pace = new Pace();
    return new Upload(sending.file, {
      endpoint: this.addresses.uploads,
      uploadUrl: address,
      chunkSize: PART_BYTES,
      retryDelays: RETRY_DELAYS,
      removeFingerprintOnSuccess: true,
      httpStack: this.stack,
      fingerprint: async () => `readerstudy|${row.id}|${known}`,
      metadata: {
        study: this.addresses.study,
        subject: row.subject.id,
        sequence: row.sequence.id,
        acquisition: row.acquisition.id,
        filename: sending.file.name,
        fingerprint: known,
      },
      onBeforeRequest: (request) => request.setHeader('X-CSRFToken', csrfToken()),
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        return status < 400 || status >= 500 ? status !== NO_ROOM : GOES_ON.includes(status);
      },
      onProgress: (sent, whole) => {
        sending.sent = sent;
        sending.secondsLeft = pace.secondsLeft(sent, whole);
        this.moved(row.id);
      },
      onError: (error) => {
        sending.phase = 'failed';
        sending.fault = faultOf(error);
        sending.final = isFinal(error);
        this.moved(row.id);
        this.next();
      },
      onSuccess: () => {
        sending.phase = 'sent';
        this.moved(row.id);
        this.ended();
        this.next();
      },
    });
  }
}

const LOGGED_OUT = 401;
const NO_ROOM = 507;

function isFinal(error: Error | DetailedError): boolean {
  if (!('originalRequest' in error)) return true; // the file cannot be read
  const status = error.originalResponse?.getStatus() ?? 0;
  return status >= 400 && status < 500 && status !== LOGGED_OUT && !GOES_ON.includes(status);
}

function faultOf(error: Error | DetailedError): string {
  const response = 'originalResponse' in error ? error.originalResponse : null;
  if (response) return sentence(response.getBody(), `The server answered with ${response.getStatus()}. Try again.`);
  if ('originalRequest' in error) return 'The connection broke. It goes on when the server can be reached.';
  return 'The file could not be read. Choose it again.'; // moved, changed or unplugged since it was chosen
}

/** Bytes a second over the last seconds. */
class Pace {
  private points: [number, number][] = [];

  secondsLeft(sent: number, whole: number): number | null {
    const now = performance.now() / 1000;
    const last = this.points.at(-1);
    if (last && (now - last[0] > 5 || sent < last[1])) this.points = []; // paused, or set back to what the server has
    this.points = [...this.points.filter(([at]) => now - at < 15), [now, sent]];
    const first = this.points[0];
    if (!first || now - first[0] < 2 || sent <= first[1]) return null;
    return ((whole - sent) * (now - first[0])) / (sent - first[1]);
  }
}
