/**
 * The coordinator's Processing page: upload, progress, finished series. The server has drawn the page already; this keeps
 * it up to date and sends files.
 */
import { confirmPlaces, filesOfDrop } from './dialog';
import { FinishedSeriesList } from './finished';
import { post } from './http';
import { Polling } from './polling';
import { AcquisitionTable, type Filter } from './table';
import type { AcquisitionRow, Addresses, PageContent } from './types';
import { Uploads } from './uploads';

function find<T extends Element>(selector: string): T {
  const found = document.querySelector<T>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

const root = find<HTMLElement>('#processing');
const addresses = { ...root.dataset } as unknown as Addresses;
const notice = find<HTMLElement>('#processing-notice');
let content = JSON.parse(find('#processing-content').textContent ?? '{}') as PageContent;

function say(text: string): void {
  notice.textContent = text;
  notice.toggleAttribute('hidden', text === '');
}

const uploads = new Uploads(
  addresses,
  (row) => table.redraw(row),
  () => polling.soon(),
);
const table = new AcquisitionTable(find<HTMLTableSectionElement>('#acquisitions tbody'), uploads, {
  choose: (row, file) => uploads.add(row, file),
  steer,
  remove,
});
const finished = new FinishedSeriesList(find('#finished .groups'), find('#finished'), steer);
const polling = new Polling(addresses.status, show, say);

function show(next: PageContent): void {
  if (next.state !== content.state) void refreshHead();
  content = next;
  find('#summary').textContent = next.summary;
  table.show(next);
  finished.show(next);
}

/** The study went a step on in its life: what stands above the page says so. Uploads go on, so no reload. */
async function refreshHead(): Promise<void> {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return;
  const drawn = new DOMParser().parseFromString(await answer.text(), 'text/html');
  for (const part of ['header.top', '.life']) {
    const fresh = drawn.querySelector(part);
    if (fresh) document.querySelector(part)?.replaceWith(fresh);
  }
}

function steer(job: string, verb: 'retry' | 'cancel'): void {
  void post(`${addresses.jobs}${job}/${verb}`).then((refusal) => {
    say(refusal);
    polling.soon();
  });
}

function remove(row: AcquisitionRow): void {
  const place = `${row.subject.name} · ${row.sequence.name} · ${row.acquisition.name}`;
  if (!row.raw_file || !confirm(`Remove the file of ${place}? Its series go with it.`)) return;
  void post(`${addresses.files}${row.raw_file}/remove`).then((refusal) => {
    say(refusal);
    polling.soon();
  });
}

function send(files: { file: File; path: string }[]): void {
  if (files.length > 0) void confirmPlaces(files, content.acquisitions, (row, file) => uploads.add(row, file));
}

// Many files at once: by the button, or dropped anywhere on the page.
for (const chooser of document.querySelectorAll<HTMLInputElement>('#many-files, #whole-folder')) {
  chooser.addEventListener('change', () => {
    send([...(chooser.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    chooser.value = '';
  });
}
if (content.open) {
  let depth = 0;
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  document.addEventListener('dragenter', (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    root.classList.add('dropping');
  });
  document.addEventListener('dragleave', (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    if (depth <= 0) root.classList.remove('dropping');
  });
  document.addEventListener('dragover', (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    if (!hasFiles(event) || !event.dataTransfer) return;
    event.preventDefault();
    depth = 0;
    root.classList.remove('dropping');
    void filesOfDrop(event.dataTransfer).then(send);
  });
}

for (const choice of document.querySelectorAll<HTMLButtonElement>('#filters button')) {
  choice.addEventListener('click', () => {
    for (const other of document.querySelectorAll('#filters button')) other.setAttribute('aria-pressed', String(other === choice));
    table.filterBy(choice.value as Filter);
  });
}

document.documentElement.classList.add('island');
show(content);
polling.soon();
