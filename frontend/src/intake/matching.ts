/**
 * Where a dropped file probably belongs. Only ever a suggestion: the person confirms each line before anything is sent.
 *
 * A manifest (manifest.json beside the files, as the simulator writes it) decides first; else the words of the file's name
 * are compared with subject, sequence and acquisition.
 */
import type { AcquisitionRow } from './types';

export interface ManifestLine {
  subject: string;
  sequence: string;
  acquisition: string;
  path: string;
}

export interface NamedFile {
  name: string;
  /** Path below the dropped folder, where there is one. */
  path: string;
}

/** Lower-case letters and digits in runs: "S07_SAG-T1.fast.h5" becomes ["s07", "sag", "t1", "fast", "h5"]. */
export function words(text: string): string[] {
  return text.toLowerCase().match(/[a-z]*\d+|[a-z]+/g) ?? [];
}

/** The lines of a manifest in any of its forms: a list, or an object with a list `files`. Empty if it is none. */
export function manifestLines(content: unknown): ManifestLine[] {
  const list = Array.isArray(content) ? content : (content as { files?: unknown } | null)?.files;
  if (!Array.isArray(list)) return [];
  return list.filter(
    (line): line is ManifestLine =>
      typeof line === 'object' &&
      line !== null &&
      ['subject', 'sequence', 'acquisition', 'path'].every(
        (key) => typeof (line as Record<string, unknown>)[key] === 'string',
      ),
  );
}

function sameName(a: string, b: string): boolean {
  return words(a).join('') === words(b).join('');
}

function fromManifest(file: NamedFile, rows: AcquisitionRow[], manifest: ManifestLine[]): AcquisitionRow | null {
  const line =
    manifest.find((each) => file.path === each.path || file.path.endsWith(`/${each.path}`)) ??
    only(manifest.filter((each) => each.path.split('/').pop() === file.name));
  if (!line) return null;
  return (
    rows.find(
      (row) =>
        sameName(row.subject.name, line.subject) &&
        sameName(row.sequence.name, line.sequence) &&
        sameName(row.acquisition.name, line.acquisition),
    ) ?? null
  );
}

function only<T>(list: T[]): T | undefined {
  return list.length === 1 ? list[0] : undefined;
}

/** How many of a name's words stand in the file's words, 0 unless all do. */
function allWordsIn(name: string, said: Set<string>): number {
  const needed = words(name);
  return needed.every((word) => said.has(word)) ? needed.length : 0;
}

function fromWords(file: NamedFile, rows: AcquisitionRow[]): AcquisitionRow | null {
  const said = new Set(words(file.path));
  let best: AcquisitionRow[] = [];
  let bestScore = 0;
  for (const row of rows) {
    const subject = allWordsIn(row.subject.name, said);
    const sequence = allWordsIn(row.sequence.name, said);
    const acquisition = allWordsIn(row.acquisition.name, said);
    if (!subject || !sequence || !acquisition) continue;
    // "SAG T2 FS" outdoes "SAG T2" where both fit.
    const score = subject + sequence + acquisition;
    if (score > bestScore) [best, bestScore] = [[row], score];
    else if (score === bestScore) best.push(row);
  }
  return only(best) ?? null;
}

/** A place for a file, and what speaks for it. */
export interface Suggestion {
  row: AcquisitionRow;
  from: 'manifest' | 'name';
}

/** One suggestion (or none) a file, in the order of `files`; a place is suggested once. */
export function suggest(files: NamedFile[], rows: AcquisitionRow[], manifest: ManifestLine[]): (Suggestion | null)[] {
  const taken = new Set<string>();
  return files.map((file) => {
    const listed = fromManifest(file, rows, manifest);
    const row = listed ?? fromWords(file, rows);
    if (!row || taken.has(row.id)) return null;
    taken.add(row.id);
    return { row, from: listed ? 'manifest' : 'name' };
  });
}
