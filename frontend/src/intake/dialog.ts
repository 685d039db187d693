/** Many files at once: each gets a suggested place, and the person confirms before anything is sent. */
import { button, element } from './elements';
import { manifestLines, type ManifestLine, suggest } from './matching';
import type { AcquisitionRow } from './types';
import { size } from './words';

export interface FileFromFolder {
  file: File;
  path: string;
}

const HIDDEN = /(^|\/)(\.|__MACOSX|Thumbs\.db)/;
const NOT_RAW = /\.(json|csv|npz|txt|md|pdf|png|jpe?g|log|xlsx?|docx?)$/i;

/** The files of a drop, folders included. */
export async function filesOfDrop(transfer: DataTransfer): Promise<FileFromFolder[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const lists = await Promise.all(entries.map((entry) => filesBelow(entry)));
  return lists.flat();
}

async function filesBelow(entry: FileSystemEntry): Promise<FileFromFolder[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, '') }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: FileFromFolder[] = [];
  for (;;) {
    // A folder is read in batches of at most a hundred.
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return found;
    for (const child of batch) found.push(...(await filesBelow(child)));
  }
}

async function manifestOf(files: FileFromFolder[]): Promise<ManifestLine[]> {
  const lines: ManifestLine[] = [];
  for (const { file } of files.filter((each) => /\.json$/i.test(each.file.name) && each.file.size < 5_000_000)) {
    try {
      lines.push(...manifestLines(JSON.parse(await file.text())));
    } catch {
      // some other JSON: no manifest
    }
  }
  return lines;
}

/** Ask where the files belong and hand each confirmed one to `send`. */
export async function confirmPlaces(
  dropped: FileFromFolder[],
  rows: AcquisitionRow[],
  send: (row: AcquisitionRow, file: File) => void,
): Promise<void> {
  const manifest = await manifestOf(dropped);
  const files = dropped.filter(({ path }) => !HIDDEN.test(path) && !NOT_RAW.test(path)).sort((a, b) => a.path.localeCompare(b.path));
  const suggested = suggest(files.map(({ file, path }) => ({ name: file.name, path })), rows, manifest);
  const lines = files.map((each, index) => new Line(each, rows, suggested[index]?.row ?? null, () => check()));
  const start = element('button', { type: 'submit', class: 'primary' }, '');
  const fault = element('p', { class: 'note', role: 'status' });
  const left = dropped.length - files.length;
  const from = new Set(suggested.map((each) => each?.from));
  const sources = [from.has('manifest') && 'the manifest', from.has('name') && 'the names of the files'].filter(Boolean);
  const note = [
    files.length === 0 ? 'There is no raw file among them.' : 'Nothing is sent before you press the button.',
    sources.length > 0 ? `Places are suggested from ${sources.join(' and ')}: check them.` : '',
    files.length > 0 && sources.length === 0 ? 'The names say nothing of the place: choose it for each file.' : '',
    left > 0 ? `${left} other ${left === 1 ? 'file is' : 'files are'} left out.` : '',
  ];
  const dialog = element(
    'dialog',
    { class: 'places', 'aria-labelledby': 'places-title' },
    element(
      'form',
      {
        method: 'dialog',
        submit: () => {
          for (const line of lines) if (line.row) send(line.row, line.file);
        },
      },
      element('h2', { id: 'places-title' }, 'Where do these files belong?'),
      element('p', { class: 'mute' }, note.filter(Boolean).join(' ')),
      element(
        'div',
        { class: 'list' },
        element(
          'table',
          {},
          element('thead', {}, element('tr', {}, element('th', {}, 'File'), element('th', { class: 'number' }, 'Size'), element('th', {}, 'Place'), element('th', {}))),
          element('tbody', {}, ...lines.map((line) => line.made)),
        ),
      ),
      element('div', { class: 'ends' }, fault, button('Close', 'Send nothing', () => dialog.close(), ''), start),
    ),
  );

  function check(): void {
    const chosen = lines.filter((line) => line.row !== null);
    const twice = chosen.filter((line) => chosen.some((other) => other !== line && other.row?.id === line.row?.id));
    for (const line of lines) line.warn(twice.includes(line));
    start.textContent = chosen.length === 1 ? 'Upload 1 file' : `Upload ${chosen.length} files`;
    start.disabled = chosen.length === 0 || twice.length > 0;
    fault.textContent = twice.length > 0 ? 'One place cannot take two files.' : '';
  }

  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  check();
  dialog.showModal();
}

class Line {
  readonly made: HTMLTableRowElement;
  readonly file: File;
  row: AcquisitionRow | null;
  private readonly remark = element('td', { class: 'mute small' });

  constructor(dropped: FileFromFolder, rows: AcquisitionRow[], suggested: AcquisitionRow | null, changed: () => void) {
    this.file = dropped.file;
    this.row = suggested;
    const select = element('select', {
      'aria-label': `Place of ${dropped.path}`,
      change: () => {
        this.row = rows.find((row) => row.id === select.value) ?? null;
        changed();
      },
    });
    select.append(element('option', { value: '' }, 'leave out'));
    for (const row of rows)
      select.append(element('option', { value: row.id }, `${row.subject.name} · ${row.sequence.name} · ${row.acquisition.name}`));
    select.value = suggested?.id ?? '';
    this.made = element(
      'tr',
      {},
      element('td', { class: 'file', title: dropped.path }, element('bdi', {}, dropped.path)),
      element('td', { class: 'number mute' }, size(dropped.file.size)),
      element('td', {}, select),
      this.remark,
    );
  }

  warn(twice: boolean): void {
    this.remark.textContent = twice ? 'twice' : this.row?.has_file ? `replaces ${this.row.file.split(' · ')[0]}` : '';
    this.remark.classList.toggle('bad', twice);
  }
}
