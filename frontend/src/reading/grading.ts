/** The form's state without any page: which criterion is chosen, what is answered, what is missing. Pure functions. */
import type { Answer, Criterion } from './types.ts';

export interface Grading {
  readonly criteria: readonly Criterion[];
  readonly answers: Readonly<Record<string, Answer>>;
  /** Index of the chosen criterion; null when none is: every answer is there and digits do nothing. */
  readonly chosen: number | null;
  /** Index of the criterion answered last on this page; null at the start. */
  readonly last: number | null;
  readonly signedOff: boolean;
}

export function startGrading(
  criteria: readonly Criterion[],
  answers: Readonly<Record<string, Answer>>,
  signedOff: boolean,
): Grading {
  const state: Grading = { criteria, answers: { ...answers }, chosen: null, last: null, signedOff };
  return { ...state, chosen: signedOff ? null : firstGap(state) };
}

/** Index of the first criterion without an answer at or after `from`, else before it; null when none is missing. */
export function firstGap(state: Grading, from = 0): number | null {
  const count = state.criteria.length;
  for (let step = 0; step < count; step++) {
    const index = (from + step) % count;
    const criterion = state.criteria[index];
    if (criterion && !state.answers[criterion.id]) return index;
  }
  return null;
}

export function missing(state: Grading): number {
  return state.criteria.filter((criterion) => !state.answers[criterion.id]).length;
}

export function choose(state: Grading, index: number | null): Grading {
  if (index !== null && !state.criteria[index]) return state;
  return { ...state, chosen: index };
}

/** Tab and Shift+Tab: round the criteria; from none, to the first or the last. */
export function chooseNeighbour(state: Grading, step: 1 | -1): Grading {
  const count = state.criteria.length;
  if (state.chosen === null) return choose(state, step > 0 ? 0 : count - 1);
  return choose(state, (state.chosen + step + count) % count);
}

export function chosenCriterion(state: Grading): Criterion | undefined {
  return state.chosen === null ? undefined : state.criteria[state.chosen];
}

/** The criterion that the digit would grade, if the digit is on its scale. */
export function gradedBy(state: Grading, digit: number): Criterion | undefined {
  const criterion = chosenCriterion(state);
  if (!criterion || digit < criterion.minimum || digit > criterion.maximum) return undefined;
  return criterion;
}

/** Keep an answer and go on to the next gap; without a gap none stays chosen, so that a stray digit changes nothing. */
export function answer(state: Grading, criterionId: string, given: Answer): Grading {
  const index = state.criteria.findIndex((criterion) => criterion.id === criterionId);
  if (index < 0) return state;
  const after: Grading = { ...state, answers: { ...state.answers, [criterionId]: given }, last: index };
  return { ...after, chosen: state.signedOff ? null : firstGap(after, index) };
}

/** Backspace: the way back from a slip. */
export function backToLast(state: Grading): Grading {
  if (state.last !== null && state.last !== state.chosen) return choose(state, state.last);
  if (state.chosen !== null && state.chosen > 0) return choose(state, state.chosen - 1);
  return state;
}

export type SignOff = { readonly kind: 'complete' } | { readonly kind: 'gap'; readonly index: number } | { readonly kind: 'done' };

/** What Enter means now. */
export function signOffMeans(state: Grading): SignOff {
  if (state.signedOff) return { kind: 'done' };
  const gap = firstGap(state);
  return gap === null ? { kind: 'complete' } : { kind: 'gap', index: gap };
}

export function sameAnswer(one: Answer | undefined, other: Answer): boolean {
  return one !== undefined && one.value === other.value && one.cannot_grade === other.cannot_grade;
}
