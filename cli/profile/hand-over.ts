import { createHash } from 'node:crypto';
import type { Bus } from '../../shared/ports.ts';
import { PROFILE_PART_BYTES, profileTaken } from '../../shared/protocol/messages/requests.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { askRequest } from '../../shared/runtime/requests.ts';

/**
 * Gives a profile to the running central, in parts. Resolves to the nodes whose times central uses now. Throws its answer
 * where that is an error.
 */
export async function handOver(bus: Bus, topics: Topics, profile: string): Promise<readonly string[]> {
  const bytes = Buffer.from(profile);
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
