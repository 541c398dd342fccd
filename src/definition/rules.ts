/** The rules between keys of a definition. Rules about the host (is the bridge there?) are not here: see plan/. */
import type { Draft } from './draft.ts';
import type { Broken, Rule } from './rule.ts';
import {
  boardsHaveTheirPlatform,
  busesHaveRoom,
  kernelComesFirst,
  microvmIsSmall,
  ringsAreOfVirtio,
  secureBootHasItsFirmware,
} from './rules-of-boards.ts';
import { clockHasOneBase } from './rules-of-clocks.ts';
import {
  addressesHaveOneWidth,
  cpusFitTheirTopology,
  enlightenmentsAreWhole,
  featuresAreClear,
  hostsPropertiesHaveItsModel,
  pinsAreKnown,
} from './rules-of-cpus.ts';
import {
  devicesHavePlaces,
  inputsAreKnown,
  iommusAreWhole,
  microvmHasFewDevices,
  portsAreOfTheBoard,
  panicHasADevice,
  soundHasACard,
  hostDevicesOnce,
  serialsHavePlaces,
  sharesHaveOwnTags,
  screensAreWhole,
  usbHasRoom,
  watchdogsAreOfTheBoard,
} from './rules-of-devices.ts';
import {
  busesHaveTheirKeys,
  disksFitTheirBus,
  limitsAreWhole,
  scsiDisksHavePlaces,
  threadsExist,
} from './rules-of-disks.ts';
import { cellsHoldAll, hugePagesFit, memoryHasRoom } from './rules-of-memory.ts';
import { disksAreSound, memoryFits, writtenImagesAreUsedOnce } from './rules-of-images.ts';
import {
  nothingComesAfterItself,
  panicsAreSeen,
  readinessIsWhole,
  restartsAreBounded,
  restartWaitsFit,
} from './rules-of-life.ts';
import {
  bootOrderNamesParts,
  forwardedPortsAreUnique,
  idsAreUnique,
  listsHaveNothingTwice,
  macsAreUnique,
} from './rules-of-names.ts';

const rules: readonly Rule[] = [
  idsAreUnique,
  macsAreUnique,
  forwardedPortsAreUnique,
  listsHaveNothingTwice,
  bootOrderNamesParts,
  kernelComesFirst,
  microvmIsSmall,
  boardsHaveTheirPlatform,
  secureBootHasItsFirmware,
  clockHasOneBase,
  busesHaveRoom,
  cpusFitTheirTopology,
  featuresAreClear,
  enlightenmentsAreWhole,
  addressesHaveOneWidth,
  hostsPropertiesHaveItsModel,
  pinsAreKnown,
  microvmHasFewDevices,
  screensAreWhole,
  devicesHavePlaces,
  inputsAreKnown,
  usbHasRoom,
  watchdogsAreOfTheBoard,
  iommusAreWhole,
  panicHasADevice,
  soundHasACard,
  portsAreOfTheBoard,
  hostDevicesOnce,
  serialsHavePlaces,
  sharesHaveOwnTags,
  memoryHasRoom,
  hugePagesFit,
  cellsHoldAll,
  ringsAreOfVirtio,
  disksAreSound,
  busesHaveTheirKeys,
  disksFitTheirBus,
  limitsAreWhole,
  threadsExist,
  scsiDisksHavePlaces,
  writtenImagesAreUsedOnce,
  memoryFits,
  readinessIsWhole,
  nothingComesAfterItself,
  restartWaitsFit,
  restartsAreBounded,
  panicsAreSeen,
];

export function brokenRules(draft: Draft): readonly Broken[] {
  return rules.flatMap((rule) => rule(draft));
}
