/** What GET /api/processing/<study>/status answers (readerstudy/processing/page.py). */

export type Kind = 'done' | 'run' | 'bad' | 'wait';

export interface Named {
  id: string;
  name: string;
}

export interface State {
  kind: Kind;
  stage: string;
  fraction: number;
  time: string;
  action: string;
  note: string;
  job: string | null;
  can_cancel: boolean;
  can_retry: boolean;
}

export interface OpenUpload {
  address: string;
  file_name: string;
  fingerprint: string;
  length: number;
  offset: number;
}

export interface AcquisitionRow extends State {
  id: string;
  subject: Named;
  sequence: Named;
  acquisition: Named;
  nex: string;
  file: string;
  has_file: boolean;
  /** Its id where it may be removed. */
  raw_file: string | null;
  upload: OpenUpload | null;
}

export interface FinishedSeries {
  id: string;
  arm: string;
  colour: string;
  size: string;
  /** Its chain and noise reduction in words; empty where nothing is to be said. */
  made: string;
  /** Whether the network took less noise than was asked for. */
  is_clamped: boolean;
  remarks: string[];
  preview: string;
  lineage: string;
}

export interface SequenceGroup extends State {
  id: string;
  subject: string;
  sequence: string;
  series: FinishedSeries[];
}

export interface PageContent {
  summary: string;
  /** Where the study is in its life. */
  state: string;
  /** Whether it still takes files. */
  open: boolean;
  acquisitions: AcquisitionRow[];
  sequences: SequenceGroup[];
}

/** The addresses that the page's element carries. */
export interface Addresses {
  study: string;
  status: string;
  uploads: string;
  jobs: string;
  files: string;
}
