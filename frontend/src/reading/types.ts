/** What the reader's API sends. Nothing here tells one series of a subject from another but token, position and pixels. */

export interface Criterion {
  readonly id: string;
  readonly name: string;
  readonly minimum: number;
  readonly maximum: number;
  /** Written anchor of each value; keys are the values as text. */
  readonly anchors: Readonly<Record<string, string>>;
}

export interface Place {
  readonly token: string;
  /** 1, 2, 3 ... over the reader's whole list. */
  readonly position: number;
  readonly sequence: string;
  readonly signed_off: boolean;
}

export interface StudyDescription {
  readonly keys: Readonly<Record<string, { readonly keys: readonly string[]; readonly does: string }>>;
  readonly study: string;
  readonly criteria: readonly Criterion[];
  readonly rules: { readonly allow_back: boolean };
  readonly length: number;
  readonly sequences: readonly { readonly name: string; readonly length: number; readonly signed_off: number }[];
  readonly presentations: readonly Place[];
  readonly seconds_per_series: number | null;
}

export type Cause = 'image-quality' | 'technical';

/** A grade, or "cannot be graded" with its cause. "Not graded yet" is the absence of an answer. */
export interface Answer {
  readonly value: number | null;
  readonly cannot_grade: Cause | '';
}

export interface Edges {
  readonly left: string;
  readonly right: string;
  readonly top: string;
  readonly bottom: string;
}

/** What the viewer needs of a series. */
export interface SeriesDescription {
  readonly token: string;
  readonly rows: number;
  readonly columns: number;
  readonly slices: number;
  /** Millimetres between rows and between columns. */
  readonly spacing_mm: readonly [number, number];
  /** Centre and width in stored pixel values. */
  readonly window: readonly [number, number];
  readonly edges: Edges;
}

export interface PresentationDescription extends SeriesDescription {
  readonly sequence: string;
  readonly position: number;
  readonly length: number;
  readonly grades: Readonly<Record<string, Answer>>;
  readonly comment: string;
  readonly signed_off: boolean;
}
