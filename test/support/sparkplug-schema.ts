import protobuf from 'protobufjs'

/**
 * Field numbers and types of a Sparkplug B payload, written down for protobufjs, so that a second implementation of
 * protobuf checks ours. proto2: presence of every field counts.
 */
const schema = `
syntax = "proto2";
package sparkplug;

message Property {
  optional uint32 type = 1;
  optional bool isNull = 2;
  oneof value {
    uint32 int = 3;
    uint64 long = 4;
    float float = 5;
    double double = 6;
    bool boolean = 7;
    string string = 8;
    Properties set = 9;
    PropertyList list = 10;
    bytes extension = 11;
  }
}
message Properties { repeated string keys = 1; repeated Property values = 2; }
message PropertyList { repeated Properties sets = 1; }

message Cell {
  oneof value {
    uint32 int = 1;
    uint64 long = 2;
    float float = 3;
    double double = 4;
    bool boolean = 5;
    string string = 6;
    bytes extension = 7;
  }
}
message Row { repeated Cell cells = 1; }
message Table {
  optional uint64 columnCount = 1;
  repeated string columns = 2;
  repeated uint32 types = 3 [packed = false];
  repeated Row rows = 4;
}

message Parameter {
  optional string name = 1;
  optional uint32 type = 2;
  oneof value {
    uint32 int = 3;
    uint64 long = 4;
    float float = 5;
    double double = 6;
    bool boolean = 7;
    string string = 8;
    bytes extension = 9;
  }
}
message Template {
  optional string version = 1;
  repeated Metric metrics = 2;
  repeated Parameter parameters = 3;
  optional string templateRef = 4;
  optional bool isDefinition = 5;
}

message About {
  optional bool isMultiPart = 1;
  optional string contentType = 2;
  optional uint64 size = 3;
  optional uint64 seq = 4;
  optional string fileName = 5;
  optional string fileType = 6;
  optional string md5 = 7;
  optional string description = 8;
}

message Metric {
  optional string name = 1;
  optional uint64 alias = 2;
  optional uint64 timestamp = 3;
  optional uint32 datatype = 4;
  optional bool isHistorical = 5;
  optional bool isTransient = 6;
  optional bool isNull = 7;
  optional About metadata = 8;
  optional Properties properties = 9;
  oneof value {
    uint32 int = 10;
    uint64 long = 11;
    float float = 12;
    double double = 13;
    bool boolean = 14;
    string string = 15;
    bytes bytes = 16;
    Table dataset = 17;
    Template template = 18;
    bytes extension = 19;
  }
}

message Payload {
  optional uint64 timestamp = 1;
  repeated Metric metrics = 2;
  optional uint64 seq = 3;
  optional string uuid = 4;
  optional bytes body = 5;
}
`

const type = protobuf.parse(schema, { keepCase: true }).root.lookupType('sparkplug.Payload')

/** Encodes with protobufjs; the object has the member names of the schema above, 64-bit numbers as bigint-made strings or numbers. */
export const encodeWithProtobufjs = (payload: Record<string, unknown>): Uint8Array =>
  type.encode(type.fromObject(payload)).finish()

/** Decodes with protobufjs; 64-bit numbers as decimal texts, only the fields that were on the wire. */
export const decodeWithProtobufjs = (bytes: Uint8Array): Record<string, unknown> =>
  type.toObject(type.decode(bytes), { longs: String, oneofs: true })
