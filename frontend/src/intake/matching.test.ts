import { describe, expect, it } from 'vitest';
import { manifestLines, suggest, words } from './matching';
import type { AcquisitionRow } from './types';
import { aboutLeft, part, size } from './words';

function row(subject: string, sequence: string, acquisition: string): AcquisitionRow {
  const id = `${subject}.${sequence}.${acquisition}`;
  return {
    id,
    subject: { id: subject, name: subject },
    sequence: { id: sequence, name: sequence },
    acquisition: { id: acquisition, name: acquisition },
    nex: '',
    file: '',
    has_file: false,
    raw_file: null,
    upload: null,
    kind: 'wait',
    stage: '',
    fraction: 0,
    time: '',
    action: '',
    note: '',
    job: null,
    can_cancel: false,
    can_retry: false,
  };
}

const rows = ['S01', 'S02', 'S10'].flatMap((s) =>
  ['SAG T1', 'SAG T2 FS', 'SAG T2', 'AX T2'].flatMap((q) => ['Standard', 'Fast'].map((a) => row(s, q, a))),
);
const file = (path: string) => ({ path, name: path.split('/').pop() ?? '' });
const one = (path: string) => suggest([file(path)], rows, [])[0]?.row.id ?? null;

describe('suggestions', () => {
  it('reads the words of a name', () => {
    expect(words('S07_SAG-T1.fast.h5')).toEqual(['s07', 'sag', 't1', 'fast', 'h5']);
    expect(one('S02_sag_t1_fast.h5')).toBe('S02.SAG T1.Fast');
    expect(one('S10/AX-T2/standard.dat')).toBe('S10.AX T2.Standard');
  });

  it('prefers the longer sequence name where both fit', () => {
    expect(one('S01 SAG T2 FS Standard.h5')).toBe('S01.SAG T2 FS.Standard');
    expect(one('S01 SAG T2 Standard.h5')).toBe('S01.SAG T2.Standard');
  });

  it('suggests nothing where a word is missing or two subjects fit', () => {
    expect(one('sag_t1_fast.h5')).toBeNull();
    expect(one('S1_sag_t1_fast.h5')).toBeNull();
    expect(one('S01_S02_sag_t1_fast.h5')).toBeNull();
    expect(one('meas_MID00123.dat')).toBeNull();
  });

  it('lets the manifest decide, by path first', () => {
    const manifest = manifestLines({
      files: [
        { subject: 'S01', sequence: 'SAG T1', acquisition: 'Fast', protocol: 'MSK', nex: 0.5, path: 'a/raw.h5' },
        { subject: 'S02', sequence: 'SAG T1', acquisition: 'Fast', protocol: 'MSK', nex: 0.5, path: 'b/raw.h5' },
        { subject: 'S02', sequence: 'AX T2', acquisition: 'Standard', path: 'S01_sag_t1_fast.h5' },
      ],
    });
    expect(suggest([file('drop/b/raw.h5')], rows, manifest)[0]?.row.id).toBe('S02.SAG T1.Fast');
    expect(suggest([file('raw.h5')], rows, manifest)[0]).toBeNull();
    expect(suggest([file('S01_sag_t1_fast.h5')], rows, manifest)[0]?.row.id).toBe('S02.AX T2.Standard');
  });

  it('gives a place away once', () => {
    const two = suggest([file('a/S01 SAG T1 Fast.h5'), file('b/S01 SAG T1 Fast.h5')], rows, []);
    expect(two.map((each) => each?.row.id ?? null)).toEqual(['S01.SAG T1.Fast', null]);
  });

  it('takes no manifest that is none', () => {
    expect(manifestLines(null)).toEqual([]);
    expect(manifestLines({ files: 3 })).toEqual([]);
    expect(manifestLines([{ subject: 1, path: 'x' }])).toEqual([]);
  });
});

describe('words', () => {
  it('says sizes and times as the server does', () => {
    expect(size(999)).toBe('999 bytes');
    expect(size(1932735283)).toBe('1.9 GB');
    expect(size(150e6)).toBe('150 MB');
    expect(part(1.2e9, 1.9e9)).toBe('1.2 of 1.9 GB');
    expect(part(2e5, 1.9e9)).toBe('200 kB of 1.9 GB');
    expect(aboutLeft(2)).toBe('about 5 s left');
    expect(aboutLeft(120)).toBe('about 2 min left');
  });
});
