/** Requests to our own server: session cookie, CSRF header, faults as sentences. */

/** The CSRF token that Django expects back in X-CSRFToken. */
export function csrfToken(): string {
  const found = document.cookie.match(/(?:^|; )csrftoken=([^;]*)/);
  return found?.[1] ?? document.querySelector<HTMLInputElement>('input[name=csrfmiddlewaretoken]')?.value ?? '';
}

/** The sentence in an error's body: {"message", "action"}; else a plain one. */
export function sentence(body: string, otherwise: string): string {
  try {
    const said = JSON.parse(body) as { message?: string; action?: string };
    if (said.message) return [said.message, said.action].filter(Boolean).join(' ');
  } catch {
    // not ours (a proxy's page): say what we know ourselves
  }
  return otherwise;
}

/** POST without a body. Resolves to '' or to the sentence of a refusal. */
export async function post(address: string): Promise<string> {
  try {
    const answer = await fetch(address, {
      method: 'POST',
      headers: { 'X-CSRFToken': csrfToken(), Accept: 'application/json' },
    });
    if (answer.ok) return '';
    return sentence(await answer.text(), 'The server did not take this. Reload the page and try again.');
  } catch {
    return 'The connection broke. Try again.';
  }
}
