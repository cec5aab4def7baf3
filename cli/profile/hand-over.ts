import { createHash } from 'node:crypto';
import { TesseraError } from '../../shared/errors.ts';
import type { Bus } from '../../shared/ports.ts';
import { MAX_PROFILE_BYTES, PROFILE_PART_BYTES, profileTaken } from '../../shared/protocol/messages/requests.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { askRequest } from '../../shared/runtime/requests.ts';

/**
 * Gives a profile to the running central, in parts. Resolves to the nodes whose times central uses now. Throws its answer
 * where that is an error, and TESSERA_USAGE for one that is too long.
 */
export async function handOver(bus: Bus, topics: Topics, profile: string): Promise<readonly string[]> {
  const bytes = Buffer.from(profile);
  if (bytes.length > MAX_PROFILE_BYTES)
    throw new TesseraError(
      'TESSERA_USAGE',
      `the profile has ${bytes.length} bytes; central takes ${MAX_PROFILE_BYTES}`,
      {
        hint: 'put it into the folder profiles of its state directory',
      },
    );
  const sha = createHash('sha256').update(bytes).digest('hex');
  for (let offset = 0; ; ) {
    const d = bytes.subarray(offset, offset + PROFILE_PART_BYTES).toString('base64');
    const { received, nodes } = await askRequest(
      bus,
      topics,
      'profile',
      { sha, size: bytes.length, offset, d },
      profileTaken,
    );
    if (nodes !== null) return nodes;
    offset = received;
  }
}
