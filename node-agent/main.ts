import { type AgentOptions, startAgent } from './agent.ts';

/**
 * Runs a node agent until `signal` is aborted (the command line does that on Ctrl-C and SIGTERM); resolves within 10 s
 * of that, after `offline` was published. `onStarted` is called with the node's id when it is online.
 * Throws what `startAgent` throws.
 */
export async function runAgent(
  options: AgentOptions & { readonly signal: AbortSignal; readonly onStarted?: (id: string) => void },
): Promise<void> {
  const agent = await startAgent(options);
  options.onStarted?.(agent.id);
  if (!options.signal.aborted)
    await new Promise<void>((resolve) => options.signal.addEventListener('abort', () => resolve(), { once: true }));
  await agent.stop();
}
