/** Questions to the reader. Each resolves with the answer, or null when it was left; keys of the page rest meanwhile. */
import { button, element, kbd } from './dom.ts';
import { MOUSE_ROWS, helpRows, type HelpRow, type KeyTable } from './keys.ts';
import type { Cause, Criterion } from './types.ts';

const LONGEST_COMMENT = 2000;
const LONGEST_REASON = 1000;

export function dialogOpen(): boolean {
  return document.querySelector('dialog[open]') !== null;
}

type Answering<T> = (value: T | null) => void;

/** Run a dialog until it is answered or left by Escape; it is removed afterwards. */
function run<T>(dialog: HTMLDialogElement, open: () => void, wire: (answer: Answering<T>) => void): Promise<T | null> {
  return new Promise((resolve) => {
    const answer: Answering<T> = (value) => {
      document.removeEventListener('keydown', leave);
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    const leave = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape' || event.isComposing) return;
      event.preventDefault();
      answer(null);
    };
    document.addEventListener('keydown', leave);
    wire(answer);
    document.body.append(dialog);
    open();
  });
}

/** A question over the lower part of the panel. The image stays usable by mouse: one may look while one writes. */
async function ask<T>(panel: HTMLElement, dialog: HTMLDialogElement, wire: (answer: Answering<T>) => void): Promise<T | null> {
  panel.inert = true;
  try {
    return await run(dialog, () => dialog.show(), wire);
  } finally {
    panel.inert = false;
  }
}

function textArea(longest: number, text: string, placeholder: string): HTMLTextAreaElement {
  const area = element('textarea', { rows: '3', maxlength: String(longest), placeholder, 'aria-label': placeholder });
  area.value = text;
  return area;
}

/** Enter saves, Shift+Enter is a new line. */
function enterSaves(area: HTMLTextAreaElement, save: () => void): void {
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      save();
    }
  });
}

function feet(save: () => void, leave: () => void, label = 'Save'): HTMLElement {
  const saveButton = button('primary', label, ' ', kbd('Enter'));
  const leaveButton = button('quiet', 'Cancel ', kbd('Esc'));
  saveButton.addEventListener('click', save);
  leaveButton.addEventListener('click', leave);
  return element('div', { class: 'row' }, leaveButton, saveButton);
}

export function askComment(panel: HTMLElement, text: string): Promise<string | null> {
  const area = textArea(LONGEST_COMMENT, text, 'Remark on this series');
  const dialog = element('dialog', { class: 'ask', 'aria-label': 'Comment' }, element('h2', {}, 'Comment'), area);
  return ask<string>(panel, dialog, (answer) => {
    const save = (): void => answer(area.value.trim());
    enterSaves(area, save);
    dialog.append(feet(save, () => answer(null)));
  });
}

/** Why a signed-off grade is corrected; never empty. */
export function askReason(panel: HTMLElement, what: string, text: string): Promise<string | null> {
  const area = textArea(LONGEST_REASON, text, 'Short reason');
  const dialog = element(
    'dialog',
    { class: 'ask', 'aria-label': 'Correction' },
    element('h2', {}, 'Correction after sign-off'),
    element('p', {}, `${what} The earlier grade is kept beside the new one.`),
    area,
  );
  return ask<string>(panel, dialog, (answer) => {
    const save = (): void => {
      if (area.value.trim()) answer(area.value.trim());
      else area.focus();
    };
    enterSaves(area, save);
    dialog.append(feet(save, () => answer(null), 'Correct'));
  });
}

export interface CannotGrade {
  readonly cause: Cause;
  readonly reason: string;
  readonly allOpen: boolean;
}

/** Why a criterion cannot be graded: a cause by 1 or 2, words if wanted. */
export function askCannotGrade(
  panel: HTMLElement,
  criterion: string,
  otherGaps: number,
  reasonNeeded: boolean,
): Promise<CannotGrade | null> {
  const quality = radio('image-quality', '1', 'because of image quality');
  const technical = radio('technical', '2', 'for a technical reason');
  const all = element('input', { type: 'checkbox', name: 'all' });
  const others = otherGaps === 1 ? 'the other criterion' : `the other ${otherGaps} criteria`;
  const area = textArea(LONGEST_REASON, '', reasonNeeded ? 'Short reason for the correction' : 'What is wrong (if you like)');
  const dialog = element(
    'dialog',
    { class: 'ask', 'aria-label': 'Cannot be graded' },
    element('h2', {}, `${criterion} cannot be graded`),
    quality.label,
    technical.label,
    otherGaps > 0 && element('label', { class: 'all' }, all, element('span', {}, `the same for ${others} without a grade`)),
    area,
  );
  return ask<CannotGrade>(panel, dialog, (answer) => {
    const save = (): void => {
      const cause: Cause | null = quality.input.checked ? 'image-quality' : technical.input.checked ? 'technical' : null;
      if (!cause) quality.input.focus();
      else if (reasonNeeded && !area.value.trim()) area.focus();
      else answer({ cause, reason: area.value.trim(), allOpen: all.checked });
    };
    enterSaves(area, save);
    dialog.addEventListener('keydown', (event) => {
      if (event.target instanceof HTMLTextAreaElement) return;
      const picked = event.key === '1' ? quality : event.key === '2' ? technical : null;
      if (picked) {
        event.preventDefault();
        picked.input.checked = true;
        picked.input.focus();
      } else if (event.key === 'Enter' && !(event.target instanceof HTMLButtonElement)) {
        event.preventDefault();
        save();
      }
    });
    dialog.append(feet(save, () => answer(null)));
  });
}

function radio(value: string, key: string, text: string): { input: HTMLInputElement; label: HTMLElement } {
  const input = element('input', { type: 'radio', name: 'cause', value });
  return { input, label: element('label', {}, input, element('span', {}, text), kbd(key)) };
}

export function showHelp(table: KeyTable, criteria: readonly Criterion[]): Promise<null> {
  const list = (title: string, rows: readonly HelpRow[]): HTMLElement =>
    element(
      'section',
      {},
      element('h2', {}, title),
      element(
        'dl',
        {},
        ...rows.flatMap(({ signs, does }) => [element('dt', {}, kbd(...signs)), element('dd', {}, does)]),
      ),
    );
  const { grading, image } = helpRows(table, criteria);
  const close = button('quiet', 'Close ', kbd('Esc'));
  const dialog = element(
    'dialog',
    { class: 'help', 'aria-label': 'Keys' },
    element(
      'div',
      { class: 'columns' },
      list('Grading', grading),
      element('div', {}, list('Image', image), list('Mouse', MOUSE_ROWS)),
    ),
    element('div', { class: 'row' }, element('span'), close),
  );
  return run<null>(
    dialog,
    () => dialog.showModal(),
    (answer) => {
      close.addEventListener('click', () => answer(null));
      dialog.addEventListener('click', (event) => {
        if (event.target === dialog) answer(null);
      });
      dialog.addEventListener('keydown', (event) => {
        if (event.key !== '?') return;
        event.preventDefault();
        event.stopPropagation();
        answer(null);
      });
    },
  );
}
