import { trainedTiles } from '../../central/planner/default-plan.ts';
import { parseProfile } from '../../central/planner/profile/parse.ts';
import { problemOfProfile } from '../../central/planner/profile/problem.ts';
import type { Profile } from '../../central/planner/profile/schema.ts';
import type { Problem } from '../../central/planner/strategy.ts';
import { planningNetwork } from '../../central/planner/tiler.ts';
import type { ServedModel } from '../../central/served-model.ts';
import { TesseraError } from '../../shared/errors.ts';
import { readJsonFile } from '../json-file.ts';

/** Reads a profile from a JSON file. Throws TESSERA_PROFILE. */
export async function readProfileFile(file: string): Promise<Profile> {
  const hint = '`tessera profile` makes a profile, `tessera schema profile` describes one';
  return parseProfile(await readJsonFile(file, 'TESSERA_PROFILE', hint));
}

/** The problem of a profile; with its network also tiles are possible. Throws TESSERA_PROFILE for another network's. */
export function problemFor(profile: Profile, served: ServedModel | undefined): Problem {
  if (served === undefined) return problemOfProfile(profile);
  const { manifest, resolved, card, name } = served;
  const network = planningNetwork(resolved);
  if (profile.sha256 !== manifest.skeleton.sha || profile.layers?.length !== network.graph.layers.length)
    throw new TesseraError('TESSERA_PROFILE', `the profile is not one of model "${name}"`, {
      hint: `it is of ${profile.model} (${profile.sha256 ?? 'no sha256'}), the model is ${manifest.skeleton.sha}; \`tessera profile --model\` makes one`,
    });
  return { ...problemOfProfile(profile, network), trained: trainedTiles(card), calibrated: card.calibrated };
}
