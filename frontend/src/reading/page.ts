/** The reading page: joins viewer, form, list and outbox. It loads once and never reloads between series. */
import { LoginEnded, Refused, type ReadingApi } from './api.ts';
import { askCannotGrade, askComment, askReason, dialogOpen, showHelp } from './dialogs.ts';
import { noteDisplay } from './display.ts';
import { doneScreen } from './done.ts';
import { Form } from './form.ts';
import * as grading from './grading.ts';
import { keyHit, type KeyHit } from './keys.ts';
import { ReadingList } from './list.ts';
import { Outbox, browserStore, pauseAfter, type Answered, type Entry, type SaveState } from './outbox.ts';
import { Pace } from './pace.ts';
import { Readings, type Reading } from './readings.ts';
import type { Answer, StudyDescription } from './types.ts';
import { View } from './view.ts';
import { CornerstoneViewer } from './viewer/cornerstone.ts';
import { FrameStore } from './viewer/frames.ts';
import { listenToPointer } from './viewer/pointer.ts';
import type { Viewer } from './viewer/viewer.ts';

const SLICES_A_PAGE = 5;
const ZOOM_A_KEY = 1.2;
const LOGIN_ENDED = 'Session ended, or somebody else logged in.';

export interface Addresses {
  readonly api: string;
  readonly start: string;
  readonly login: string;
}

export class ReadingPage {
  private readonly api: ReadingApi;
  private readonly view = new View();
  private readonly form: Form;
  private readonly frames: FrameStore;
  private readonly viewer: Viewer;
  private readonly list: ReadingList;
  private readonly outbox: Outbox;
  private readonly pace: Pace;
  private readonly readings: Readings;
  private current: Reading | null = null;
  private opening = 0;
  private lastReason = '';
  private saveState: SaveState = 'saved';

  constructor(
    root: HTMLElement,
    private readonly study: StudyDescription,
    private readonly addresses: Addresses,
    api: ReadingApi,
  ) {
    this.api = api;
    this.list = new ReadingList(study.presentations, study.rules.allow_back);
    this.pace = new Pace(study.seconds_per_series);
    this.form = new Form(study.keys, study.criteria, addresses, {
      grade: (criterion, value) => this.gradeByMouse(criterion, value),
      choose: (criterion) => this.update((state) => grading.choose(state, criterion)),
      comment: () => void this.comment(),
      cannotGrade: () => void this.cannotGrade(),
      signOff: () => this.signOff(),
      help: () => void this.help(),
    });
    this.outbox = new Outbox({
      store: browserStore(),
      send: (entry) => this.send(entry),
      onChange: (state, waiting) => this.saving(state, waiting),
      onRefused: (entry, message) => this.refused(entry, message),
    });
    this.frames = new FrameStore((token, slice, signal) => this.api.frame(token, slice, signal), {
      onFrame: (token) => this.frameArrived(token),
      onTrouble: (error, failures) => this.framesTrouble(error, failures),
    });
    this.readings = new Readings(api, study.criteria, this.list, this.outbox, this.frames);
    root.replaceChildren(this.view.root, this.form.root);
    const viewer = new CornerstoneViewer(this.view.canvasHost, this.view.cover, this.frames);
    this.viewer = viewer;
    viewer.onShown((shown) => this.view.show(shown));
    this.view.facts(viewer.facts);
    listenToPointer(this.view.root, viewer);
    document.addEventListener('keydown', (event) => this.key(event));
    addEventListener('beforeunload', (event) => {
      if (!this.outbox.empty) event.preventDefault();
    });
    for (const back of ['online', 'focus']) addEventListener(back, () => this.retry());
  }

  start(): void {
    this.outbox.restore(new Set(this.list.places.map((place) => place.token)));
    for (const { token } of this.list.places) {
      if (this.outbox.entriesOf(token).some((entry) => entry.kind === 'sign-off')) this.list.markSignedOff(token);
    }
    void noteDisplay(this.api, this.viewer.facts);
    const open = this.list.open();
    if (open) void this.open(open.token);
    else this.finish();
  }

  // --- one series ---------------------------------------------------------------------------------------------------

  private async open(token: string): Promise<void> {
    const opening = ++this.opening;
    this.current = null;
    this.viewer.blank();
    this.view.blank();
    this.form.say('');
    this.drawPlace(token);
    this.draw();
    const reading = await this.read(token, opening);
    if (!reading || opening !== this.opening) return;
    this.drawPlace(token); // the server may have said that it is signed off
    this.view.start(reading.description);
    this.readings.keepFrames(reading);
    this.view.loaded((slice) => this.frames.frame(token, slice) !== undefined);
    try {
      await this.viewer.show(reading.description);
    } catch (error) {
      if (opening !== this.opening) return;
      throw error;
    }
    if (opening !== this.opening) return;
    reading.shownAt = performance.now();
    reading.grades = grading.startGrading(this.study.criteria, reading.grades.answers, this.list.isSignedOff(token));
    this.current = reading;
    this.view.ready(reading.description);
    this.view.loaded((slice) => this.frames.frame(token, slice) !== undefined);
    this.form.say(reading.grades.signedOff ? 'This series is signed off. A correction asks for a short reason.' : '');
    this.draw();
    if (!reading.grades.signedOff) this.outbox.add(token, 'open', {});
    this.prefetch(reading);
  }

  /** The description of a series, from memory or the server; tries again until the network and the login are back. */
  private async read(token: string, opening: number): Promise<Reading | null> {
    for (let failures = 1; ; failures++) {
      try {
        while (opening === this.opening && !this.readings.mayAsk(token)) {
          this.view.blank('Saving. The next series comes when the grades before it have arrived.');
          await this.outbox.changed();
        }
        return opening === this.opening ? await this.readings.get(token) : null;
      } catch (error) {
        if (opening !== this.opening) return null;
        // Refused while sign-offs wait: the server does not know yet how far the reader is.
        if (error instanceof Refused && !this.outbox.signOffsWaiting) {
          this.view.blank(error.message);
          return null;
        }
        this.view.blank(openingTrouble(error));
        if (error instanceof Refused) this.outbox.retry(); // it answers, so what waits can go
        await new Promise((done) => setTimeout(done, pauseAfter(failures)));
        if (opening !== this.opening) return null;
      }
    }
  }

  private prefetch(reading: Reading): void {
    void this.readings.prefetch(reading, () => this.current === reading);
  }

  private frameArrived(token: string): void {
    if (token !== this.view.root.dataset.token && token !== this.current?.description.token) return;
    this.view.loaded((slice) => this.frames.frame(token, slice) !== undefined);
    this.draw();
  }

  private loadingLeft(): number {
    const description = this.current?.description;
    return description ? description.slices - this.frames.loaded(description.token) : 0;
  }

  // --- grades -------------------------------------------------------------------------------------------------------

  private update(change: (state: grading.Grading) => grading.Grading): void {
    if (!this.current) return;
    this.current.grades = change(this.current.grades);
    this.draw();
  }

  private gradeByMouse(criterion: number, value: number): void {
    this.update((state) => grading.choose(state, criterion));
    this.gradeByDigit(value);
  }

  private gradeByDigit(digit: number): void {
    const reading = this.current;
    if (!reading) return;
    const criterion = grading.gradedBy(reading.grades, digit);
    if (criterion) void this.give(reading, [criterion.id], { value: digit, cannot_grade: '' }, null);
  }

  /** Keep and send an answer for these criteria. After sign-off a reason is asked for unless it is given. */
  private async give(reading: Reading, criteria: readonly string[], given: Answer, reason: string | null): Promise<void> {
    let why = reason ?? '';
    if (reading.grades.signedOff && reason === null) {
      if (criteria.every((id) => grading.sameAnswer(reading.grades.answers[id], given))) return;
      const names = criteria.map((id) => this.study.criteria.find((criterion) => criterion.id === id)?.name ?? '');
      const asked = await askReason(this.form.root, `${names.join(', ')}: ${given.value}.`, this.lastReason);
      if (asked === null) return;
      why = this.lastReason = asked;
    }
    for (const id of criteria) {
      if (!grading.sameAnswer(reading.grades.answers[id], given) || why) {
        this.outbox.add(reading.description.token, 'grades', { criterion: id, ...given, reason: why });
      }
      reading.grades = grading.answer(reading.grades, id, given);
    }
    this.form.say('');
    this.draw();
  }

  private async cannotGrade(): Promise<void> {
    const reading = this.current;
    if (!reading) return;
    const state = reading.grades;
    const criterion = grading.chosenCriterion(state);
    if (!criterion) {
      this.form.say('Choose the criterion that cannot be graded first.');
      return;
    }
    const others = state.criteria.filter((other) => other.id !== criterion.id && !state.answers[other.id]);
    const asked = await askCannotGrade(this.form.root, criterion.name, others.length, state.signedOff);
    if (!asked) return;
    const criteria = [criterion.id, ...(asked.allOpen ? others.map((other) => other.id) : [])];
    await this.give(reading, criteria, { value: null, cannot_grade: asked.cause }, asked.reason);
  }

  private async comment(): Promise<void> {
    const reading = this.current;
    if (!reading) return;
    const text = await askComment(this.form.root, reading.comment);
    if (text === null || text === reading.comment) return;
    reading.comment = text;
    this.outbox.add(reading.description.token, 'comment', { text });
    this.draw();
  }

  private signOff(): void {
    const reading = this.current;
    if (!reading) return;
    const means = grading.signOffMeans(reading.grades);
    if (means.kind === 'gap') {
      this.update((state) => grading.choose(state, means.index));
    } else if (means.kind === 'done') {
      this.goOn();
    } else if (this.loadingLeft()) {
      this.form.say('Some slices are still loading. Sign off when all of them are here.', 'warning');
    } else {
      const { token } = reading.description;
      this.pace.note((performance.now() - reading.shownAt) / 1000);
      this.list.markSignedOff(token);
      this.lastReason = '';
      this.outbox.add(token, 'sign-off', {});
      this.goOn();
    }
  }

  private goOn(): void {
    const open = this.list.open();
    if (open) void this.open(open.token);
    else this.finish();
  }

  private go(step: 1 | -1): void {
    const token = this.current?.description.token;
    if (!token) return;
    const found = this.list.neighbour(token, step);
    if ('place' in found) void this.open(found.place.token);
    else this.form.say(found.why);
  }

  private finish(): void {
    this.opening += 1;
    this.current = null;
    this.viewer.blank();
    this.view.blank();
    this.frames.keep([]);
    document.body.classList.add('finished');
    const look = this.list.allowBack && this.list.length > 0;
    const screen = doneScreen(this.list.length, this.study.criteria.length, this.study.study, this.addresses.start, look, () => {
      screen.remove();
      document.body.classList.remove('finished');
      const last = this.list.places.at(-1);
      if (last) void this.open(last.token);
    });
    this.view.root.parentElement?.append(screen);
    this.saving(this.outbox.state, this.outbox.waiting);
  }

  // --- saving -------------------------------------------------------------------------------------------------------

  private async send(entry: Entry): Promise<Answered> {
    const answered = await this.api.send(entry);
    if (answered.kind === 'kept' && entry.kind === 'sign-off' && this.current) {
      this.frames.retry();
      this.prefetch(this.current);
    }
    return answered;
  }

  private saving(state: SaveState, waiting: number): void {
    this.form.saving(state, waiting);
    if (state === 'login') this.form.say(`${LOGIN_ENDED} Your grades wait here for your own login.`, 'warning');
    else if (this.saveState === 'login') this.form.say('');
    this.saveState = state;
    const line = document.querySelector<HTMLElement>('.finished .done-save');
    if (!line) return;
    line.dataset.save = state;
    line.textContent = state === 'saved' ? 'All grades are saved.' : 'Saving. Please leave this page open.';
  }

  /** The server does not take what was said: tell so, and show again what it has. */
  private refused(entry: Entry, message: string): void {
    if (entry.kind === 'open') return;
    this.readings.forget(entry.token);
    if (entry.kind === 'sign-off') this.list.markSignedOff(entry.token, false);
    const place = this.list.place(entry.token);
    const says = `Series ${place?.position ?? ''} was not saved: ${message}`;
    const token = entry.kind === 'sign-off' ? entry.token : this.current?.description.token;
    document.querySelector('.done')?.remove();
    document.body.classList.remove('finished');
    if (token === entry.token) void this.open(entry.token).then(() => this.form.say(says, 'warning'));
    else this.form.say(says, 'warning');
  }

  private framesTrouble(error: unknown, failures: number): void {
    if (!this.current) {
      if (failures) this.view.blank(openingTrouble(error));
    } else if (failures === 0) {
      this.form.say('');
      this.saving(this.outbox.state, this.outbox.waiting);
    } else if (error instanceof LoginEnded) this.saving('login', this.outbox.waiting);
    else if (this.loadingLeft() && failures > 1) this.form.say('Slices cannot be loaded at the moment; trying again.', 'warning');
  }

  private retry(): void {
    this.outbox.retry();
    this.frames.retry();
  }

  // --- keys and drawing ---------------------------------------------------------------------------------------------

  private key(event: KeyboardEvent): void {
    const target = event.target;
    if (dialogOpen() || event.isComposing) return;
    if (target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement) return;
    if (document.body.classList.contains('finished')) return;
    if (target instanceof HTMLAnchorElement && event.key === 'Enter') return;
    const hit = keyHit(this.study.keys, event);
    if (!hit) return;
    event.preventDefault();
    if (!hit.idle) this.act(hit);
  }

  private act({ action, index }: KeyHit): void {
    const slices = this.current?.description.slices ?? 0;
    const acts: Record<KeyHit['action'], () => void> = {
      grade: () => this.gradeByDigit(Number(this.study.keys['grade']?.keys[index])),
      next_criterion: () => this.update((state) => grading.chooseNeighbour(state, 1)),
      previous_criterion: () => this.update((state) => grading.chooseNeighbour(state, -1)),
      criterion: () => this.update((state) => grading.choose(state, index)),
      back_to_last: () => this.update(grading.backToLast),
      cannot_grade: () => void this.cannotGrade(),
      comment: () => void this.comment(),
      sign_off: () => this.signOff(),
      next_slice: () => this.viewer.step(1),
      previous_slice: () => this.viewer.step(-1),
      five_slices_on: () => this.viewer.step(SLICES_A_PAGE),
      five_slices_back: () => this.viewer.step(-SLICES_A_PAGE),
      first_slice: () => this.viewer.setSlice(0),
      last_slice: () => this.viewer.setSlice(slices - 1),
      reset: () => this.viewer.reset(),
      invert: () => this.viewer.invert(),
      zoom_in: () => this.viewer.zoomBy(ZOOM_A_KEY),
      zoom_out: () => this.viewer.zoomBy(1 / ZOOM_A_KEY),
      next_series: () => this.go(1),
      previous_series: () => this.go(-1),
      help: () => void this.help(),
    };
    acts[action]();
  }

  private help(): Promise<null> {
    return showHelp(this.study.keys, this.study.criteria);
  }

  private drawPlace(token: string): void {
    const place = this.list.place(token);
    this.form.setPlace(place?.sequence ?? '', place?.position ?? 0, this.list.length, this.list.signedOff);
    this.form.time(this.pace.left(this.list.length - this.list.signedOff));
  }

  private draw(): void {
    this.form.draw(this.current?.grades ?? null, this.current?.comment ?? '', this.loadingLeft());
  }
}

function openingTrouble(error: unknown): string {
  return error instanceof LoginEnded
    ? `${LOGIN_ENDED} Log in again in another tab; this page then goes on.`
    : 'The images cannot be loaded at the moment. Trying again ...';
}
