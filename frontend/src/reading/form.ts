/** The fixed right column: criteria, sign-off, save state. Draws what it is given and says what was clicked. */
import { button, element, kbd } from './dom.ts';
import { missing, type Grading } from './grading.ts';
import { keySigns, type KeyTable } from './keys.ts';
import type { SaveState } from './outbox.ts';
import type { Answer, Criterion } from './types.ts';

export interface FormEvents {
  readonly grade: (criterion: number, value: number) => void;
  readonly choose: (criterion: number) => void;
  readonly comment: () => void;
  readonly cannotGrade: () => void;
  readonly signOff: () => void;
  readonly help: () => void;
}

const LONGEST_LABEL_ON_BUTTON = 12;
const CAUSES = { 'image-quality': 'cannot: image quality', technical: 'cannot: technical' } as const;

interface Row {
  readonly box: HTMLElement;
  readonly state: HTMLElement;
  readonly buttons: ReadonlyMap<number, HTMLButtonElement>;
  readonly anchors: ReadonlyMap<number, HTMLElement>;
  readonly list: HTMLElement;
}

export class Form {
  readonly root: HTMLElement;
  private readonly title = element('b', { class: 'sequence' });
  private readonly place = element('span', { class: 'position' });
  private readonly bar = element('i');
  private readonly criteriaBox = element('div', { class: 'criteria' });
  private readonly commentRow: HTMLButtonElement;
  private readonly commentText = element('span', { class: 'comment-text' });
  private readonly notice = element('p', { class: 'notice', role: 'status', 'aria-live': 'polite' });
  private readonly signButton: HTMLButtonElement;
  private readonly signText = element('span');
  private readonly saveText = element('span', { class: 'save', 'data-save': 'saved', role: 'status' });
  private readonly timeText = element('span', { class: 'time' });
  private rows: Row[] = [];

  constructor(
    private readonly keys: KeyTable,
    private readonly criteria: readonly Criterion[],
    private readonly addresses: { readonly login: string; readonly start: string },
    private readonly events: FormEvents,
  ) {
    this.rows = criteria.map((criterion, index) => this.row(criterion, index));
    this.criteriaBox.append(...this.rows.map((row) => row.box));
    const comment = button('quiet', 'Comment ', this.signs('comment'));
    this.commentRow = comment;
    const cannot = button('quiet', 'Cannot be graded ', this.signs('cannot_grade'));
    const help = button('quiet', this.signs('help'), ' keys');
    this.signButton = button('sign', this.signText, ' ', this.signs('sign_off'));
    comment.addEventListener('click', events.comment);
    cannot.addEventListener('click', events.cannotGrade);
    help.addEventListener('click', events.help);
    this.signButton.addEventListener('click', events.signOff);
    const stop = element('a', { class: 'stop', href: addresses.start, title: 'To the start page; go on later' }, 'Stop');
    this.root = element(
      'aside',
      { class: 'panel', 'aria-label': 'Grades' },
      element('div', { class: 'top' }, this.title, this.place, stop),
      element('div', { class: 'bar' }, this.bar),
      this.criteriaBox,
      element(
        'div',
        { class: 'foot' },
        this.notice,
        this.commentText,
        element('div', { class: 'row' }, comment, cannot),
        this.signButton,
        element('div', { class: 'row' }, this.saveText, element('span', { class: 'right' }, this.timeText, help)),
      ),
    );
    // A click grades and leaves the keyboard with the page: Enter and Space must not press the button again.
    this.root.addEventListener('mousedown', (event) => {
      if ((event.target as Element).closest('button')) event.preventDefault();
    });
    this.say('');
  }

  /** Where in the list this series is; `signedOff` of `length` series are done. */
  setPlace(sequence: string, position: number, length: number, signedOff: number): void {
    this.title.textContent = sequence;
    this.place.textContent = `${position} / ${length}`;
    this.bar.style.width = `${length ? (100 * signedOff) / length : 0}%`;
    this.root.dataset.position = `${position}/${length}`;
    this.root.dataset.signedOff = String(signedOff);
  }

  draw(grading: Grading | null, comment: string, loadingLeft: number): void {
    this.root.classList.toggle('waiting', grading === null);
    this.rows.forEach((row, index) => this.drawRow(row, index, grading));
    this.commentText.textContent = comment ? `“${comment}”` : '';
    this.commentText.hidden = !comment;
    this.commentRow.classList.toggle('has', Boolean(comment));
    this.drawSign(grading, loadingLeft);
  }

  saving(state: SaveState, waiting: number): void {
    const several = waiting === 1 ? '1 grade' : `${waiting} grades`;
    this.saveText.dataset.save = state;
    if (state === 'login') {
      const link = element('a', { href: this.addresses.login, target: '_blank', rel: 'noopener' }, 'log in again');
      this.saveText.replaceChildren('session ended: ', link);
      return;
    }
    const texts = { saved: 'all saved', saving: 'saving', offline: waiting ? `offline, ${several} waiting, retrying` : 'offline, retrying' };
    this.saveText.replaceChildren(texts[state]);
  }

  time(text: string): void {
    this.timeText.textContent = text;
  }

  /** One sentence to the reader above the buttons; empty takes it away. */
  say(text: string, kind: 'plain' | 'warning' = 'plain'): void {
    this.notice.textContent = text;
    this.notice.hidden = !text;
    this.notice.classList.toggle('warning', kind === 'warning');
  }

  private signs(action: Parameters<typeof keySigns>[1]): HTMLElement {
    return kbd(...keySigns(this.keys, action).slice(0, 1));
  }

  private row(criterion: Criterion, index: number): Row {
    const values: number[] = [];
    for (let value = criterion.minimum; value <= criterion.maximum; value++) values.push(value);
    const onButtons = values.every((value) => (criterion.anchors[String(value)] ?? '').length <= LONGEST_LABEL_ON_BUTTON);
    const labelled = values.length <= 3 && onButtons;
    const buttons = new Map<number, HTMLButtonElement>();
    const anchors = new Map<number, HTMLElement>();
    for (const value of values) {
      const anchor = criterion.anchors[String(value)] ?? '';
      const made = button('value', String(value), labelled && anchor ? element('span', { class: 'label' }, anchor) : null);
      made.setAttribute('aria-label', `${criterion.name}: ${value}${anchor ? `, ${anchor}` : ''}`);
      made.dataset.value = String(value);
      made.addEventListener('click', () => this.events.grade(index, value));
      buttons.set(value, made);
      if (anchor && !labelled) anchors.set(value, element('li', {}, element('span', {}, String(value)), anchor));
    }
    const state = element('em');
    const letter = this.keys['criterion']?.keys[index];
    const heading = element('h2', {}, element('span', {}, criterion.name, letter ? kbd(letter) : null), state);
    const list = element('ul', { class: 'anchors' }, ...anchors.values());
    const scale = element('div', { class: 'scale' }, ...buttons.values());
    scale.style.setProperty('--values', String(values.length));
    const box = element('div', { class: 'criterion', role: 'group', 'aria-label': criterion.name }, heading, scale, list);
    box.dataset.criterion = criterion.id;
    box.addEventListener('click', (event) => {
      if (!(event.target as Element).closest('button')) this.events.choose(index);
    });
    return { box, state, buttons, anchors, list };
  }

  private drawRow(row: Row, index: number, grading: Grading | null): void {
    const criterion = this.criteria[index];
    if (!criterion) return;
    const answer = grading?.answers[criterion.id];
    const chosen = grading?.chosen === index;
    row.box.classList.toggle('chosen', chosen);
    row.box.setAttribute('aria-current', String(chosen));
    row.list.hidden = !chosen || row.anchors.size === 0;
    for (const [value, made] of row.buttons) {
      made.disabled = grading === null;
      made.classList.toggle('given', answer?.value === value);
      made.setAttribute('aria-pressed', String(answer?.value === value));
    }
    for (const [value, anchor] of row.anchors) anchor.classList.toggle('given', answer?.value === value);
    row.state.textContent = stateText(answer, chosen, criterion);
    row.box.dataset.value = answer ? (answer.cannot_grade || String(answer.value)) : '';
  }

  private drawSign(grading: Grading | null, loadingLeft: number): void {
    const gaps = grading ? missing(grading) : this.criteria.length;
    let text = 'Sign off';
    if (!grading) text = 'Loading';
    else if (grading.signedOff) text = 'Signed off · go to the open series';
    else if (gaps) text = `Sign off · ${gaps} ${gaps === 1 ? 'grade' : 'grades'} missing`;
    else if (loadingLeft) text = `Sign off · ${loadingLeft} ${loadingLeft === 1 ? 'slice' : 'slices'} loading`;
    this.signText.textContent = text;
    this.signButton.disabled = grading === null;
    this.signButton.classList.toggle('go', grading !== null && !grading.signedOff && gaps === 0 && !loadingLeft);
    this.root.dataset.missing = String(gaps);
  }
}

function stateText(answer: Answer | undefined, chosen: boolean, criterion: Criterion): string {
  if (answer?.cannot_grade) return CAUSES[answer.cannot_grade];
  if (chosen) return criterion.maximum - criterion.minimum === 1 ? `press ${criterion.minimum} or ${criterion.maximum}` : `press ${criterion.minimum}–${criterion.maximum}`;
  return answer ? String(answer.value) : '–';
}
