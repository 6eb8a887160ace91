/** Self-observation of ingest; the HTTP part exposes them as metrics. */
export const newCounters = () => ({
  /** MQTT messages that arrived */
  messages: 0,
  /** wrong topic, another group, or a verb that a host does not read */
  strayMessages: 0,
  /** not decodable, or against the specification in a way that leaves no meaning */
  malformed: 0,
  /** messages that ran into a mistake of ours; they are dropped like malformed ones */
  unexpected: 0,
  births: 0,
  deaths: 0,
  /** NDEATH of an earlier connection */
  staleDeaths: 0,
  /** DATA of a node or device that was not born */
  beforeBirth: 0,
  /** metrics whose alias or name no birth declared */
  unresolved: 0,
  /** gaps in the sequence that were not filled in time */
  gaps: 0,
  batches: 0,
  readings: 0,
  /** batches that had been committed before */
  repeatedBatches: 0,
  /** batches that waited for an earlier one */
  heldBatches: 0,
  /** held ones that were given up: too many, or too long */
  droppedHeld: 0,
  /** batches of another session */
  alienBatches: 0,
  /** batches left with their edge: not registered, or no room */
  refusedBatches: 0,
  /** batches in declared losses */
  lostBatches: 0,
  liveCopies: 0,
  liveReadings: 0,
  /** live values that the alarm lane did not get because the disk refuses */
  refusedLive: 0,
  /** readings of nodes without delivery protocol that could not be kept */
  foreignLost: 0,
  /** tags or devices beyond the bounds of one edge, or of a site that belongs to another group */
  refusedTags: 0,
  rebirthRequests: 0,
  confirmations: 0,
  limitCommands: 0,
  connections: 0,
})

export type IngestCounters = ReturnType<typeof newCounters>
