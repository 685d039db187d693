import { describe, expect, it } from 'vitest';
import { ACTIONS, helpRows, keyHit, keySigns, type KeyTable } from './keys.ts';

const table: KeyTable = {
  grade: { keys: ['0', '1', '2', '3', '4', '5'], does: 'Grade' },
  next_criterion: { keys: ['Tab'], does: 'Next' },
  previous_criterion: { keys: ['Shift+Tab'], does: 'Before' },
  next_slice: { keys: ['ArrowDown'], does: 'Next slice' },
  reset: { keys: ['r', 'Space'], does: 'Reset' },
  zoom_in: { keys: ['+'], does: 'Larger' },
  sign_off: { keys: ['Enter'], does: 'Sign off' },
  help: { keys: ['?'], does: 'Help' },
  from_a_newer_server: { keys: ['z'], does: 'Something' },
};
const press = (key: string, more: Partial<KeyboardEvent> = {}) =>
  keyHit(table, { key, shiftKey: false, ctrlKey: false, altKey: false, metaKey: false, repeat: false, ...more });

describe('keys', () => {
  it('finds the action and the place of the key in its list', () => {
    expect(press('4')).toEqual({ action: 'grade', index: 4, idle: false });
    expect(press(' ')?.action).toBe('reset');
    expect(press('Q')).toBeUndefined();
  });

  it('tells Tab from Shift+Tab, and takes digits and letters with Shift or Caps Lock', () => {
    expect(press('Tab')?.action).toBe('next_criterion');
    expect(press('Tab', { shiftKey: true })?.action).toBe('previous_criterion');
    expect(press('3', { shiftKey: true })?.action).toBe('grade');
    expect(press('R', { shiftKey: true })?.action).toBe('reset');
    expect(press('?', { shiftKey: true })?.action).toBe('help');
  });

  it('leaves Ctrl, Alt and Meta to the browser', () => {
    for (const held of ['ctrlKey', 'altKey', 'metaKey']) expect(press('r', { [held]: true })).toBeUndefined();
  });

  it('runs on with a held slice key and never signs off or grades by one', () => {
    expect(press('ArrowDown', { repeat: true })?.idle).toBe(false);
    expect(press('Enter', { repeat: true })?.idle).toBe(true);
    expect(press('3', { repeat: true })?.idle).toBe(true);
  });

  it('lists every entry of the table in the help, known or not', () => {
    const { grading, image } = helpRows(table, [{ minimum: 0, maximum: 1 }, { minimum: 1, maximum: 4 }]);
    const listed = [...grading, ...image].map((row) => row.does);
    expect(listed.sort()).toEqual(Object.values(table).map((entry) => entry.does).sort());
    expect(grading[0]?.signs).toEqual(['0–4']);
    expect(keySigns(table, 'grade')).toEqual(['0–5']);
  });

  it('gives no key to two actions', () => {
    const names = ACTIONS.flatMap((action) => table[action]?.keys ?? []);
    expect(new Set(names).size).toBe(names.length);
  });
});
