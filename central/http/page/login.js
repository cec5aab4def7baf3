import { useState } from 'preact/hooks';
import { html } from './html.js';

/** @import { Live } from './live.js' */

/**
 * Asks for a user of the broker.
 * @param {{ live: Live }} props
 */
export function Login({ live }) {
  const [fault, setFault] = useState('');
  /** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
  const onSubmit = async (event) => {
    event.preventDefault();
    const said = new FormData(event.currentTarget);
    setFault((await live.login(String(said.get('user')), String(said.get('password')))) ?? '');
  };
  return html`
    <main class="login">
      <h1>Tessera</h1>
      <form onSubmit=${onSubmit}>
        <label>User <input name="user" placeholder="viewer-NAME" autocomplete="username" required autofocus /></label>
        <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
        <button>Log in</button>
        <p class="bad" role="alert">${fault}</p>
      </form>
    </main>
  `;
}
