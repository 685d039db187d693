import './reading.css';
import { LoginEnded, ReadingApi, Refused } from './api.ts';
import { element } from './dom.ts';
import { ReadingPage } from './page.ts';

const root = document.getElementById('reading');
if (root) void begin(root);

async function begin(root: HTMLElement): Promise<void> {
  const { study = '', start = '/', login = '/' } = root.dataset;
  const addresses = { api: `/api/reading/${study}/`, start, login };
  const api = new ReadingApi(addresses.api);
  try {
    new ReadingPage(root, await api.study(), addresses, api).start();
  } catch (error) {
    const says =
      error instanceof Refused
        ? error.message
        : error instanceof LoginEnded
          ? 'Your session has ended. Log in again from the start page.'
          : 'The reading page could not start. Reload it; if that does not help, tell the coordinator.';
    root.replaceChildren(
      element('p', { class: 'failed', role: 'alert' }, `${says} `, element('a', { href: start }, 'To the start page')),
    );
    if (!(error instanceof Refused) && !(error instanceof LoginEnded)) throw error;
  }
}
