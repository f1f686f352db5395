//! What each message looks like: the text that stands in the file, so that any reader of ROS 2 messages understands it.
//!
//! Pictures, joints and inertial units are the standard messages of `sensor_msgs`. The others are our own; their names begin
//! with `reflexarc_msgs`. All instants in them are nanoseconds of `CLOCK_MONOTONIC`, as everywhere in reflexarc; the
//! metadata record `reflexarc` says how far that is from UTC.

use super::mcap::write::Schema;

/// How the text is to be read.
const ENCODING: &str = "ros2msg";

/// Definitions that others use stand behind them, each after a line of 80 `=`.
macro_rules! with_header {
    ($($line:literal)*) => {
        concat!(
            $($line, "\n",)*
            "================================================================================\n",
            "MSG: std_msgs/Header\n",
            "builtin_interfaces/Time stamp\n",
            "string frame_id\n",
            "================================================================================\n",
            "MSG: builtin_interfaces/Time\n",
            "int32 sec\n",
            "uint32 nanosec\n",
        )
    };
}

const fn schema(name: &'static str, text: &'static str) -> Schema<'static> {
    Schema {
        name,
        encoding: ENCODING,
        text,
    }
}

pub const IMAGE: Schema<'static> = schema(
    "sensor_msgs/msg/Image",
    with_header!(
        "std_msgs/Header header"
        "uint32 height"
        "uint32 width"
        "string encoding"
        "uint8 is_bigendian"
        "uint32 step"
        "uint8[] data"
    ),
);

pub const COMPRESSED_IMAGE: Schema<'static> = schema(
    "sensor_msgs/msg/CompressedImage",
    with_header!(
        "std_msgs/Header header"
        "string format"
        "uint8[] data"
    ),
);

pub const JOINT_STATE: Schema<'static> = schema(
    "sensor_msgs/msg/JointState",
    with_header!(
        "std_msgs/Header header"
        "string[] name"
        "float64[] position"
        "float64[] velocity"
        "float64[] effort"
    ),
);

pub const IMU: Schema<'static> = schema(
    "sensor_msgs/msg/Imu",
    concat!(
        with_header!(
            "std_msgs/Header header"
            "geometry_msgs/Quaternion orientation"
            "float64[9] orientation_covariance"
            "geometry_msgs/Vector3 angular_velocity"
            "float64[9] angular_velocity_covariance"
            "geometry_msgs/Vector3 linear_acceleration"
            "float64[9] linear_acceleration_covariance"
        ),
        "================================================================================\n",
        "MSG: geometry_msgs/Quaternion\n",
        "float64 x\n",
        "float64 y\n",
        "float64 z\n",
        "float64 w\n",
        "================================================================================\n",
        "MSG: geometry_msgs/Vector3\n",
        "float64 x\n",
        "float64 y\n",
        "float64 z\n",
    ),
);

/// One step of the features stage. The picture, if it was recorded, is the image with the same sequence number.
pub const FRAME: Schema<'static> = schema(
    "reflexarc_msgs/msg/Frame",
    "uint64 order # counts the steps of this stage from 1; a hole means that the recorder was too slow
uint64 seq # the frame's number; frames that are missing here were never worked on
uint8 source # the camera's number
int64 captured
int64 arrived
int64 handed_over
int64 begin
int64 loaded # the pixels had been read
int64 encoded # the feature map was ready; 0: it never was
int64 end
uint8 outcome # 0: passed on, 1: dropped on purpose, 2 to 7: failed
string pixel # YUYV, UYVY, NV12, RGB24, GREY or MJPG
uint32 width
uint32 height
uint32 stride # bytes
string matrix # bt601 or bt709
string range # limited or full
uint32 bytes_used
uint8 stamp # 0: start of exposure, 1: end of frame, 2: arrival, 3: recorded, 4: synthetic
uint8 marks # 1: error, 2: short, 4: repeated, 8: stamp in the future, 16: first after an interruption
uint32 gap_before # frames lost just before this one
bool tapped # the picture went to the recorder
",
);

/// A reading, when fusion took it.
pub const READING: Schema<'static> = schema(
    "reflexarc_msgs/msg/Reading",
    "uint64 order # counts what fusion did from 1, readings, instructions and steps together
uint8 sensor # its number in the configuration
uint8 source # the number that the reading itself carries
uint32 seq # the sender's counter
int64 at # when the values were true
int64 arrived
float32[] values
",
);

/// An instruction, when fusion took it.
pub const INSTRUCTION: Schema<'static> = schema(
    "reflexarc_msgs/msg/Instruction",
    "uint64 order # as in Reading
uint32 id # counts the instructions of a run from 1
int64 received
int64 encoded # its embedding was ready
string text
float32[] embedding
",
);

/// One step of the fusion stage.
pub const STEP: Schema<'static> = schema(
    "reflexarc_msgs/msg/Step",
    "uint64 order # as in Reading
uint64 seq # the frame's number
int64 begin # the policy was told that it is now
int64 end
uint8 outcome # 0: a chunk was passed on, 1: the policy had nothing to say, 2 to 7: failed
uint32 instruction_id # 0: none yet
int64 state_at # the instant of the first sensor's state that the policy saw
uint8 state # how it was found, 0: exact, 1: nearest, 2: held, 3: interpolated, 4: predicted, 5: latest, 6: default, 7: missing
int64 state_span # ns, from how far
bool state_filled # nobody measured it
float32[] state_values
bool remembers # the policy says what it remembers
uint8[] memory # after this step, in the policy's own layout
",
);

/// A chunk of actions. It comes when a beat has taken it, or a newer one has replaced it.
pub const CHUNK: Schema<'static> = schema(
    "reflexarc_msgs/msg/Chunk",
    "uint64 seq # the number of the frame that it was computed from
uint8 source # the camera's number
uint32 instruction_id
int64[10] marks # the frame's way: captured, arrived, handed over, features begin, loaded, encoded, fusion begin, fused
int64 begin # when the first step holds
int64 step # ns from one step to the next
uint8 dof # values of a step
float32[] targets # step after step
",
);

/// A result of a configured stream.
pub const STREAM_RESULT: Schema<'static> = schema(
    "reflexarc_msgs/msg/StreamResult",
    "string stream # its name in the configuration
string what # in words
int64 start # the window is from here
int64 end # to here, which is not in it any more
int64 first # when the first and the last of its elements were true
int64 last
uint64 count # elements
uint64 filled # those of them that were made up
uint32 revision # 0 for what is said first of this window
bool is_final # nothing more will be said of it
bool has_value
float64 value # 0 where there is none
",
);

/// One beat of the action stage.
pub const ACTION: Schema<'static> = schema(
    "reflexarc_msgs/msg/Action",
    "uint64 order # counts beats that were made, from 1
uint64 tick # counts beats of the clock
int64 at # the beat's instant on the clock
int64 begin
int64 written # the sink returned
uint32 missed # beats skipped just before
uint8 rung # 0: fresh, 1: tail, 2: hold, 3: stop
uint64 frame_seq # the frame that it was computed from
bool took_chunk
uint64 chunk_seq # the frame of the chunk that this beat took
int8 refused # why that chunk does not play; -1: it does
bool reset # an operator's reset was obeyed just before
bool stopping # the run was ending
uint8 write # 0: written, 2 to 7: the sink refused
float32[] targets
",
);
