import { TesseraError } from '../shared/errors.ts';
import type { LoadedConfig } from '../shared/runtime/config.ts';
import { INVITATION_S, inviteNode, serverForNodes } from './invite.ts';
import { type NodeToken, readTokens } from './join-tokens.ts';
import { flag, string, value, values } from './options.ts';
import type { Output } from './output.ts';
import { waitForNodes } from './wait-for-nodes.ts';

/** The options of commands that make nodes. */
export const newNodeOptions = {
  join: values('--join <token>', 'an invitation of `tessera node invite`; repeat it for several nodes', string),
  joinFile: value('--join-file <file>', 'the same, from a file with one a line; - is standard input', string),
  wait: flag('--wait', 'wait until all nodes are online; needs access to the broker'),
};

/** A start takes this long on the slowest machine; then something is wrong more likely than slow. */
const REMIND_MS = 5 * 60_000;

/** Nodes that are about to join. */
export interface NewNodes {
  /** In the order of the names or tokens that were given. */
  readonly tokens: readonly NodeToken[];
  /** Waits until all are online, and says each time it has taken long what to `check`; false if `signal` ended it. */
  untilOnline(check: string, out: Output, json: boolean, signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * Nodes by the tokens that were given, or by names that are invited here, where `onlyNew` those of no node that has joined.
 * The broker is asked only for those, and with `wait`. Throws TESSERA_USAGE for tokens that cannot be used, TESSERA_BROKER.
 */
export async function newNodes(
  {
    given,
    names,
    onlyNew = false,
    wait,
  }: {
    readonly given: readonly string[];
    readonly names: readonly string[];
    readonly onlyNew?: boolean;
    readonly wait: boolean;
  },
  loaded: LoadedConfig,
): Promise<NewNodes> {
  const [{ connectCommand, openLog }, { topics: topicsOf }, { askRequest }, { nodeInvited }] = await Promise.all([
    import('./connect.ts'),
    import('../shared/protocol/topics.ts'),
    import('../shared/runtime/requests.ts'),
    import('../shared/protocol/messages/requests.ts'),
  ]);
  const { config } = loaded;
  const topics = topicsOf(config.mqtt.base_topic);
  const bus =
    given.length === 0 || wait ? await connectCommand(config, 'new-nodes', await openLog(config, 'nodes')) : undefined;
  try {
    const tokens = [...given];
    if (given.length === 0)
      for (const name of names) {
        const ask = (asked: Record<string, unknown>) =>
          askRequest(bus!, topics, 'node-invite', { ...asked, ...(onlyNew && { only_new: true }) }, nodeInvited);
        tokens.push((await inviteNode(name, INVITATION_S * names.length, ask, serverForNodes(loaded))).token);
      }
    const read = readTokens(tokens, Date.now() / 1000);
    const ids = read.map(({ invitation }) => invitation.user);
    return {
      tokens: read,
      untilOnline: (check, out, json, signal) =>
        waitForNodes(bus!, topics, ids, {
          onNode: (node) => (json ? out.json({ online: node }) : out.line(`${node} is online`)),
          remind: (missing) => out.note(`not online yet: ${missing.join(', ')}. ${check}`),
          remindMs: REMIND_MS,
          signal,
        }),
      close: async () => bus?.stop(),
    };
  } catch (error) {
    await bus?.stop();
    throw error;
  }
}

/** Tokens of --join and --join-file; the whole line that `tessera node invite` printed will do. Throws TESSERA_USAGE. */
export async function givenTokens(join: readonly string[], file: string | undefined): Promise<string[]> {
  const text = file === undefined ? '' : await readOption('--join-file', file === '-' ? '/dev/stdin' : file);
  const lines = text.split('\n').map((line) => line.trim());
  return [...join, ...lines.filter((line) => line !== '').map((line) => line.split(/\s+/).at(-1)!)];
}

/** The text of a file that an option names. Throws TESSERA_USAGE. */
export async function readOption(option: string, file: string): Promise<string> {
  const { readText } = await import('../shared/runtime/file.ts');
  return readText(file).catch((error: Error) => {
    throw new TesseraError('TESSERA_USAGE', `${option} ${file} cannot be read: ${error.message}`, {
      hint: 'check the path and its permissions',
      cause: error,
    });
  });
}
