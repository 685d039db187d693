import { describe, expect, it } from 'vitest';
import * as grading from './grading.ts';
import type { Answer, Criterion } from './types.ts';

const criterion = (id: string, minimum = 1, maximum = 5): Criterion => ({ id, name: id, minimum, maximum, anchors: {} });
const criteria = [criterion('snr'), criterion('structures'), criterion('confidence'), criterion('quality'), criterion('artifacts', 0, 1)];
const grade = (value: number): Answer => ({ value, cannot_grade: '' });

function pressDigit(state: grading.Grading, digit: number): grading.Grading {
  const graded = grading.gradedBy(state, digit);
  return graded ? grading.answer(state, graded.id, grade(digit)) : state;
}

describe('grading', () => {
  it('takes five digits and then means sign-off: six key presses for a series', () => {
    let state = grading.startGrading(criteria, {}, false);
    for (const digit of [3, 4, 5, 2, 0]) state = pressDigit(state, digit);
    expect(criteria.map(({ id }) => state.answers[id]?.value)).toEqual([3, 4, 5, 2, 0]);
    expect(grading.signOffMeans(state)).toEqual({ kind: 'complete' });
  });

  it('keeps 0, "cannot be graded" and "not graded yet" apart', () => {
    let state = grading.startGrading(criteria, { artifacts: grade(0), snr: { value: null, cannot_grade: 'technical' } }, false);
    expect(grading.missing(state)).toBe(3);
    state = grading.answer(state, 'structures', grade(1));
    expect(grading.missing(state)).toBe(2);
  });

  it('ignores digits off the scale, and every digit once nothing is missing', () => {
    let state = grading.startGrading(criteria, {}, false);
    expect(pressDigit(state, 0)).toBe(state);
    expect(pressDigit(state, 6)).toBe(state);
    for (const digit of [3, 3, 3, 3, 1]) state = pressDigit(state, digit);
    expect(state.chosen).toBeNull();
    expect(pressDigit(state, 5)).toBe(state);
  });

  it('goes on to the next gap, round the end', () => {
    let state = grading.startGrading(criteria, { structures: grade(2) }, false);
    state = pressDigit(grading.choose(state, 4), 1);
    expect(state.chosen).toBe(0);
    state = pressDigit(state, 4);
    expect(state.chosen).toBe(2);
  });

  it('comes back to the last grade by Backspace, so that a slip is mended by two keys', () => {
    let state = pressDigit(pressDigit(grading.startGrading(criteria, {}, false), 3), 5);
    state = pressDigit(grading.backToLast(state), 4);
    expect(state.answers['structures']).toEqual(grade(4));
    expect(state.chosen).toBe(2);
  });

  it('goes round with Tab and Shift+Tab, from none to the ends', () => {
    const state = grading.startGrading(criteria, {}, true);
    expect(state.chosen).toBeNull();
    expect(grading.chooseNeighbour(state, 1).chosen).toBe(0);
    expect(grading.chooseNeighbour(state, -1).chosen).toBe(4);
    expect(grading.chooseNeighbour(grading.choose(state, 4), 1).chosen).toBe(0);
  });

  it('sends Enter to the first gap', () => {
    const state = grading.startGrading(criteria, { snr: grade(1) }, false);
    expect(grading.signOffMeans(state)).toEqual({ kind: 'gap', index: 1 });
  });

  it('does not change the state that it is given', () => {
    const state = Object.freeze(grading.startGrading(criteria, {}, false));
    grading.answer(state, 'snr', grade(3));
    expect(state.answers).toEqual({});
  });
});
