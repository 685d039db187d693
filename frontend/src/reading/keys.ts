/**
 * The key table comes from the server (readerstudy/reading/keys.py): the start page lists it, this page obeys it, draws
 * its small key signs from it and lists it under `?`. There is no second table to go stale.
 */

export interface KeyDescription {
  /** As `KeyboardEvent.key` names them, letters in lower case; "Space" and "Shift+Tab" are written so. */
  readonly keys: readonly string[];
  readonly does: string;
}

export type KeyTable = Readonly<Record<string, KeyDescription>>;

/** What the page can do at a key press. The digit and the number of the criterion come with `index`. */
export const ACTIONS = [
  'grade',
  'next_criterion',
  'previous_criterion',
  'criterion',
  'back_to_last',
  'cannot_grade',
  'comment',
  'sign_off',
  'next_slice',
  'previous_slice',
  'five_slices_on',
  'five_slices_back',
  'first_slice',
  'last_slice',
  'reset',
  'invert',
  'zoom_in',
  'zoom_out',
  'next_series',
  'previous_series',
  'help',
] as const;

export type Action = (typeof ACTIONS)[number];

/** Actions that go on while the key is held. */
const REPEATING: readonly Action[] = [
  'next_slice',
  'previous_slice',
  'five_slices_on',
  'five_slices_back',
  'zoom_in',
  'zoom_out',
];

export interface KeyPress {
  readonly key: string;
  readonly shiftKey: boolean;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
  readonly repeat: boolean;
}

export interface KeyHit {
  readonly action: Action;
  /** Place of the pressed key in the entry's list; for `grade` the digit, for `criterion` the number from 0. */
  readonly index: number;
  /** A held key whose action does not run on: swallowed without effect. */
  readonly idle: boolean;
}

/** What a key press means, or undefined. Ctrl, Alt and Meta belong to the browser. */
export function keyHit(table: KeyTable, press: KeyPress): KeyHit | undefined {
  if (press.ctrlKey || press.altKey || press.metaKey) return undefined;
  const name = pressName(press);
  for (const action of ACTIONS) {
    const index = table[action]?.keys.indexOf(name) ?? -1;
    if (index >= 0) return { action, index, idle: press.repeat && !REPEATING.includes(action) };
  }
  return undefined;
}

function pressName(press: KeyPress): string {
  if (press.key === ' ') return 'Space';
  if (press.key === '=') return '+'; // the same key as plus, without Shift
  if (press.key === '_') return '-';
  if (press.key.length === 1) return press.key.toLowerCase(); // Shift and Caps Lock change nothing; French digits need Shift
  return press.shiftKey ? `Shift+${press.key}` : press.key;
}

const SIGNS: Readonly<Record<string, string>> = {
  ArrowUp: '↑',
  ArrowDown: '↓',
  ArrowLeft: '←',
  ArrowRight: '→',
  PageUp: 'Page ↑',
  PageDown: 'Page ↓',
  Backspace: '⌫',
  'Shift+Tab': 'Shift Tab',
  '-': '−',
};

/** The signs of an action's keys; a run of digits is written as one. */
export function keySigns(table: KeyTable, action: Action): string[] {
  const keys = table[action]?.keys ?? [];
  const digits = keys.length > 2 && keys.every((key) => /^\d$/.test(key));
  return digits ? [`${keys[0]}–${keys[keys.length - 1]}`] : keys.map((key) => SIGNS[key] ?? key);
}

export interface HelpRow {
  readonly signs: readonly string[];
  readonly does: string;
}

const IMAGE_ACTIONS: readonly string[] = [
  'next_slice',
  'previous_slice',
  'five_slices_on',
  'five_slices_back',
  'first_slice',
  'last_slice',
  'reset',
  'invert',
  'zoom_in',
  'zoom_out',
] satisfies Action[];

/** The help: every entry of the table, even one that this page does not know; digits and letters only as far as they act. */
export function helpRows(table: KeyTable, criteria: readonly Scale[]): { grading: HelpRow[]; image: HelpRow[] } {
  const digits = criteria.flatMap(({ minimum, maximum }) => [minimum, maximum]);
  const acting: KeyTable = {
    ...table,
    ...(table['grade'] && digits.length
      ? { grade: { ...table['grade'], keys: span(table['grade'].keys, Math.min(...digits), Math.max(...digits)) } }
      : {}),
    ...(table['criterion'] ? { criterion: { ...table['criterion'], keys: table['criterion'].keys.slice(0, criteria.length) } } : {}),
  };
  const rows = (wanted: (action: string) => boolean): HelpRow[] =>
    Object.entries(acting)
      .filter(([action]) => wanted(action))
      .map(([action, { does }]) => ({ signs: keySigns(acting, action as Action), does }));
  return {
    grading: rows((action) => !IMAGE_ACTIONS.includes(action)),
    image: rows((action) => IMAGE_ACTIONS.includes(action)),
  };
}

interface Scale {
  readonly minimum: number;
  readonly maximum: number;
}

function span(keys: readonly string[], low: number, high: number): string[] {
  return keys.filter((key) => Number(key) >= low && Number(key) <= high);
}

export const MOUSE_ROWS: readonly HelpRow[] = [
  { signs: ['wheel'], does: 'Slices' },
  { signs: ['left drag'], does: 'Window: ↔ width, ↕ level' },
  { signs: ['right drag'], does: 'Zoom' },
  { signs: ['middle drag'], does: 'Move' },
  { signs: ['Ctrl wheel'], does: 'Zoom' },
  { signs: ['double click'], does: 'Reset window, zoom and position' },
];
