import { join } from 'node:path';
import { readText } from '../shared/runtime/file.ts';
import { writeWholeSync } from '../shared/runtime/whole-file.ts';
import { z } from '../shared/schema.ts';

/** Where a node found its broker when it was not at the address of its token or configuration. */
const knownBroker = z.object({
  version: z.literal(1),
  /** The address of token or configuration, for which the other one counts. */
  instead_of: z.string(),
  server: z.string().regex(/^mqtts?:\/\/[^/]+$/),
});

const fileIn = (stateDir: string): string => join(stateDir, 'found-broker.json');

/** The last good address of a broker, where that is not `server`; `server` where none is kept, or the file is damaged. */
export async function lastGood(stateDir: string, server: string): Promise<string> {
  try {
    const kept = knownBroker.parse(JSON.parse(await readText(fileIn(stateDir))));
    return kept.instead_of === server ? kept.server : server;
  } catch {
    return server;
  }
}

/** Keeps an address at which the broker of `server` accepted this node, before it connects again. Throws TESSERA_STORAGE. */
export function keepGood(stateDir: string, server: string, found: string): void {
  const kept: z.infer<typeof knownBroker> = { version: 1, instead_of: server, server: found };
  writeWholeSync({ what: 'the address of the broker', path: fileIn(stateDir) }, `${JSON.stringify(kept)}\n`);
}
