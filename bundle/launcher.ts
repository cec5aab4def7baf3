/** How an agent is started: with one heap of the C library and a small young generation, it needs 25 MB less. */
export const AGENT_ENVIRONMENT = { MALLOC_ARENA_MAX: '1', NODE_OPTIONS: '--max-semi-space-size=1' } as const;

/**
 * `bin/tessera`: starts the bundle's own Node, from whatever link it is called by. For an agent it stays, chooses the
 * release to run, and starts the chosen one's `bin/tessera`. `releases/` of the state directory belongs to the agent
 * (node-agent/update/releases.ts), all but what is written here:
 *
 *   no trial --link `trial`--> begun (`trial.begun` is there) --the agent removes both--> kept: `current` is it
 *   begun --ended, not online in time, or started again--> given up: `failed` is what `trial` was, `trial.why` why
 *   `trial` leads to nothing--> given up
 *
 * 1. Whatever is cut off at whatever moment: the next start runs the trial at most once, and else `current`, or the
 *    installed release where `current` is none or was chosen beside another installed one (`base`).
 * 2. It runs no code of a release to decide which one runs.
 */
export const LAUNCHER = `#!/bin/sh
here=$(readlink -f "$0")
here=\${here%/bin/tessera}
if [ -z "$TESSERA_RELEASES" ]; then
  case $0 in
  /*) TESSERA_LAUNCHER=$0 ;;
  */*) TESSERA_LAUNCHER=$PWD/$0 ;;
  *) TESSERA_LAUNCHER=$(command -v "$0") ;;
  esac
  export TESSERA_LAUNCHER
fi
if [ "$1" != agent ] || [ -n "$TESSERA_RELEASES" ]; then
  if [ "$1" = agent ]; then
    export MALLOC_ARENA_MAX="\${MALLOC_ARENA_MAX:-${AGENT_ENVIRONMENT.MALLOC_ARENA_MAX}}"
    export NODE_OPTIONS="${AGENT_ENVIRONMENT.NODE_OPTIONS} $NODE_OPTIONS"
  fi
  exec "$here/bin/node" "$here/app/dist/cli/main.js" "$@"
fi

state=\${STATE_DIRECTORY%%:*}
if [ -z "$state" ]; then
  state=$HOME/.local/state/tessera
  [ "$(id -u)" != 0 ] || state=/var/lib/tessera
fi
releases=$state/releases
export TESSERA_RELEASES="$releases" TESSERA_INSTALLED="$here"

child=
ending=
end() {
  ending=yes
  [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
trap end TERM INT

# A reason that the agent left says more.
say_why() {
  [ -s "$releases/trial.why" ] || echo "$1" >"$releases/trial.why"
}
give_up() {
  say_why "$1"
  rm -f "$releases/failed" && mv "$releases/trial" "$releases/failed"
}

exec 3<&0
while :; do
  release=$here
  base=
  [ ! -e "$releases/base" ] || read -r base <"$releases/base"
  if [ "$base" = "$here" ] && [ -x "$releases/current/bin/tessera" ]; then
    release=$(readlink -f "$releases/current")
  fi
  trial=
  if [ -L "$releases/trial" ]; then
    if [ -e "$releases/trial.begun" ]; then
      give_up interrupted
    elif [ ! -x "$releases/trial/bin/tessera" ]; then
      give_up 'it is not there'
    elif true >"$releases/trial.begun"; then
      trial=yes
      release=$(readlink -f "$releases/trial")
    fi
  fi
  TESSERA_TRIAL=$trial "$release/bin/tessera" "$@" <&3 3<&- &
  child=$!
  [ -z "$ending" ] || kill -TERM "$child" 2>/dev/null

  seconds=0
  while [ -n "$trial" ] && [ -e "$releases/trial.begun" ] && kill -0 "$child" 2>/dev/null; do
    sleep 1 &
    wait "$!"
    seconds=$((seconds + 1))
    if [ "$seconds" -ge "\${TESSERA_ONLINE_S:-45}" ] && [ ! -e "$releases/trial.online" ]; then
      say_why "it was not online within \${TESSERA_ONLINE_S:-45} s"
    elif [ "$seconds" -ge 900 ]; then
      say_why 'it did not say within 900 s that it is well'
    else
      continue
    fi
    kill -KILL "$child" 2>/dev/null
    break
  done
  while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break
  done
  child=
  [ -z "$ending" ] || exit "$code"
  if [ -n "$trial" ] && [ -e "$releases/trial.begun" ]; then
    give_up "it ended by itself, with exit code $code"
  elif [ "$code" != 75 ]; then
    exit "$code"
  fi
done
`;
