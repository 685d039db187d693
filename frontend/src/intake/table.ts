/** The table of acquisitions: what the server says of a row, and over it what this browser is sending. */
import { button, element } from './elements';
import type { AcquisitionRow, Kind, PageContent } from './types';
import type { Sending, Uploads } from './uploads';
import { aboutLeft, part, size } from './words';

export interface RowActions {
  choose(row: AcquisitionRow, file: File): void;
  steer(job: string, verb: 'retry' | 'cancel'): void;
  remove(row: AcquisitionRow): void;
}

export type Filter = 'all' | 'bad' | 'run' | 'missing';

interface Shown {
  file: string;
  kind: Kind;
  stage: string;
  fraction: number;
  time: string;
  note: string;
}

export class AcquisitionTable {
  private readonly elements = new Map<string, HTMLTableRowElement>();
  private readonly drawn = new Map<string, string>();
  private rows: AcquisitionRow[] = [];
  private open = true;
  private filter: Filter = 'all';
  /** Rows whose upload grows though this page does not send it: another window does. */
  private readonly growing = new Set<string>();

  constructor(
    private readonly body: HTMLTableSectionElement,
    private readonly uploads: Uploads,
    private readonly actions: RowActions,
  ) {}

  show(content: PageContent): void {
    const ids = content.acquisitions.map((row) => row.id).join();
    if (ids !== this.rows.map((row) => row.id).join() || this.elements.size === 0) {
      this.elements.clear();
      this.drawn.clear();
      this.body.replaceChildren(...content.acquisitions.map((row) => this.place(row.id)));
    }
    const before = new Map(this.rows.map((row) => [row.id, row.upload]));
    for (const { id, upload } of content.acquisitions) {
      const known = before.get(id);
      if (known && upload && known.address === upload.address && upload.offset > known.offset) this.growing.add(id);
      else this.growing.delete(id);
    }
    this.rows = content.acquisitions;
    this.open = content.open;
    for (const row of this.rows) {
      this.forgetEnded(row);
      this.draw(row);
    }
  }

  redraw(id: string): void {
    const row = this.rows.find((each) => each.id === id);
    if (row) this.draw(row);
  }

  filterBy(filter: Filter): void {
    this.filter = filter;
    for (const row of this.rows) this.hide(row);
  }

  private place(id: string): HTMLTableRowElement {
    const made = element('tr', { 'data-row': id });
    this.elements.set(id, made);
    return made;
  }

  /** Once the server speaks of the file itself, what this browser sent is history. */
  private forgetEnded(row: AcquisitionRow): void {
    const sending = this.uploads.of(row.id);
    if (sending?.phase === 'sent' && row.upload === null) this.uploads.forget(row.id);
  }

  private draw(row: AcquisitionRow): void {
    const sending = this.uploads.of(row.id);
    const state = JSON.stringify([row, this.open, this.growing.has(row.id), sending && [sending.phase, sending.fault, sending.file.name]]);
    const tr = this.elements.get(row.id);
    if (!tr) return;
    const shown = this.shown(row, sending);
    if (this.drawn.get(row.id) === state) {
      this.move(tr, shown);
    } else {
      this.drawn.set(row.id, state);
      tr.replaceChildren(...this.cells(row, sending, shown));
    }
    this.hide(row);
  }

  /** Only what moves while a file is sent: buttons keep their focus. */
  private move(tr: HTMLTableRowElement, shown: Shown): void {
    const bar = tr.querySelector('progress');
    if (bar) bar.value = shown.fraction;
    const set = (name: string, text: string) => {
      const cell = tr.querySelector(`[data-part=${name}]`);
      if (cell && cell.textContent !== text) cell.textContent = text;
    };
    set('file', shown.file);
    set('time', shown.time);
  }

  private hide(row: AcquisitionRow): void {
    const kind = this.shown(row, this.uploads.of(row.id)).kind;
    const wanted =
      this.filter === 'all' ||
      (this.filter === 'missing' ? !row.has_file && kind === 'wait' : kind === this.filter);
    this.elements.get(row.id)?.toggleAttribute('hidden', !wanted);
  }

  private shown(row: AcquisitionRow, sending: Sending | undefined): Shown {
    if (!sending) {
      if (row.upload && this.uploads.began(row.upload.address) && !this.growing.has(row.id)) {
        // Begun here, and then the page was closed or reloaded: only the person can hand the file over again.
        const note = `Choose ${row.upload.file_name} again: it goes on from here.`;
        return { file: row.file, kind: 'wait', stage: 'upload stopped', fraction: row.fraction, time: '', note };
      }
      return {
        file: row.file,
        kind: row.kind,
        stage: row.stage,
        fraction: row.fraction,
        time: row.time,
        note: [row.action, row.note].filter(Boolean).join(' '),
      };
    }
    const { file } = sending;
    const fraction = file.size > 0 ? sending.sent / file.size : 0;
    const named = `${file.name} · ${part(sending.sent, file.size)}`;
    switch (sending.phase) {
      case 'waiting':
        return { file: `${file.name} · ${size(file.size)}`, kind: 'wait', stage: 'waits for its turn', fraction, time: '', note: '' };
      case 'paused':
        return { file: named, kind: 'wait', stage: 'paused', fraction, time: '', note: '' };
      case 'failed':
        return { file: named, kind: 'bad', stage: sending.fault, fraction, time: '', note: '' };
      case 'sent':
        return { file: `${file.name} · ${size(file.size)}`, kind: 'run', stage: 'checking the file', fraction: 1, time: '', note: '' };
      case 'sending':
        return {
          file: named,
          kind: 'run',
          stage: 'upload',
          fraction,
          time: sending.secondsLeft === null ? '' : aboutLeft(sending.secondsLeft),
          note: '',
        };
    }
  }

  private cells(row: AcquisitionRow, sending: Sending | undefined, shown: Shown): HTMLTableCellElement[] {
    const cell = (...children: (Node | string | null)[]) => element('td', {}, ...children);
    const stage = element('td', { class: 'stage' }, element('span', { class: `pill ${shown.kind}` }, shown.stage));
    if (shown.note) stage.append(element('p', { class: 'note' }, shown.note));
    return [
      cell(row.subject.name),
      cell(row.sequence.name),
      cell([row.acquisition.name, row.nex].filter(Boolean).join(' · ')),
      element('td', { class: 'file', 'data-part': 'file' }, shown.file),
      stage,
      element(
        'td',
        { class: 'bar' },
        element('progress', { max: 1, value: shown.fraction, 'aria-label': `Progress of ${row.subject.name} ${row.sequence.name} ${row.acquisition.name}` }),
      ),
      element('td', { class: 'time', 'data-part': 'time' }, shown.time),
      element('td', { class: 'act end' }, ...(this.open ? this.buttons(row, sending) : [])),
    ];
  }

  private buttons(row: AcquisitionRow, sending: Sending | undefined): HTMLElement[] {
    const { uploads, actions } = this;
    const made: HTMLElement[] = [];
    if (sending && sending.phase !== 'sent') {
      if (sending.phase === 'sending' || sending.phase === 'waiting')
        made.push(button('Pause', 'Stop for now; it goes on from here', () => uploads.pause(row.id)));
      else if (!sending.final) made.push(button('Go on', 'Go on from where it is', () => uploads.goOn(row.id)));
      made.push(this.chooser(row, 'Other file'));
      const [label, title] = sending.final ? ['Dismiss', 'I have read this'] : ['Cancel', 'Stop and remove what has arrived'];
      made.push(button(label, title, () => void uploads.remove(row.id, row.upload?.address ?? null), 'small quiet'));
      return made;
    }
    if (row.upload) {
      made.push(this.chooser(row, 'Choose file again'));
      made.push(button('Cancel', 'Remove what has arrived', () => void uploads.remove(row.id, row.upload?.address ?? null), 'small quiet'));
      return made;
    }
    const { job } = row;
    if (job && row.can_retry) made.push(button('Try again', 'Process the same file again', () => actions.steer(job, 'retry')));
    made.push(this.chooser(row, row.has_file ? 'Replace' : 'Choose file'));
    if (job && row.can_cancel) made.push(button('Cancel', 'Stop processing this file', () => actions.steer(job, 'cancel'), 'small quiet'));
    else if (row.raw_file) made.push(button('Remove', 'Take this file out, with its series', () => actions.remove(row), 'small quiet'));
    return made;
  }

  private chooser(row: AcquisitionRow, label: string): HTMLElement {
    const place = `${row.subject.name} ${row.sequence.name} ${row.acquisition.name}`;
    const input = element('input', {
      type: 'file',
      class: 'visually-hidden',
      'aria-label': `${label}: ${place}`,
      change: () => {
        const file = input.files?.[0];
        if (file) this.actions.choose(row, file);
        input.value = '';
      },
    });
    return element('label', { class: 'button small' }, label, input);
  }
}
