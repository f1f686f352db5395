/* Apache Flink on the streams of a robot. See README.md beside this file.
 *
 * usage: FlinkStreams windows|join SECONDS WATERMARK_MS BUFFER_TIMEOUT_MS AHEAD OUT
 *        FlinkStreams chain join|asof INPUT EVERY_MS PASSES OUT
 *
 * WATERMARK_MS   how often a timer gives a watermark; 0 gives one after every element
 * AHEAD          1: a watermark also says when the next element of its stream can come at the earliest
 * join|asof      chain: Flink's interval join, or an as-of alignment written for Flink
 * EVERY_MS       chain: a watermark whenever event time has gone on by so much
 *
 * Event time is in milliseconds since the first element was due; System.nanoTime is CLOCK_MONOTONIC.
 */
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;

import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.co.CoProcessFunction;
import org.apache.flink.streaming.api.functions.co.ProcessJoinFunction;
import org.apache.flink.streaming.api.functions.sink.legacy.SinkFunction;
import org.apache.flink.streaming.api.functions.source.legacy.SourceFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

public class FlinkStreams {
    static final int CAMERA = 0;
    static final int SENSOR = 1;

    /** Milliseconds, stream, value. */
    static final TypeInformation<Tuple3<Long, Integer, Double>> ELEMENT =
            Types.TUPLE(Types.LONG, Types.INT, Types.DOUBLE);

    /** Lines of the log, taken down while it runs. */
    static final ConcurrentLinkedQueue<long[]> GIVEN = new ConcurrentLinkedQueue<>();
    static final List<long[]> TAKEN = new ArrayList<>();
    static volatile long begin;

    // ---------------------------------------------------------------------------------------- in real time

    /** 30 frames and 100 readings a second, each at its instant. */
    static class RealTime implements SourceFunction<Tuple3<Long, Integer, Double>> {
        final long seconds;
        volatile boolean isOn = true;

        RealTime(long seconds) {
            this.seconds = seconds;
        }

        @Override
        public void run(SourceContext<Tuple3<Long, Integer, Double>> context) {
            begin = System.nanoTime() + 100_000_000L;
            long frame = 0, reading = 0;
            while (isOn) {
                // No frame and no reading lie in the same millisecond, and none lies on an end of a window.
                long frameDue = 28_500_000L + frame * 1_000_000_000L / 30;
                long readingDue = 4_000_000L + reading * 10_000_000L;
                boolean isFrame = frameDue < readingDue;
                long due = Math.min(frameDue, readingDue);
                if (due > seconds * 1_000_000_000L) {
                    return;
                }
                while (begin + due > System.nanoTime()) {
                    LockSupport.parkNanos(begin + due - System.nanoTime());
                }
                long number = isFrame ? frame++ : reading++;
                long at = due / 1_000_000;
                int stream = isFrame ? CAMERA : SENSOR;
                TAKEN.add(new long[] {at, stream, System.nanoTime()});
                context.collect(Tuple3.of(at, stream, (number * 37 % 1024) / 1024.0));
            }
        }

        @Override
        public void cancel() {
            isOn = false;
        }
    }

    static class Marks implements WatermarkGenerator<Tuple3<Long, Integer, Double>> {
        final boolean afterEach;
        /** How far a stream's next element is away at least: 0 where that is not known. */
        final long[] period;
        final long[] next = {-1, -1};

        Marks(boolean afterEach, boolean ahead) {
            this.afterEach = afterEach;
            period = ahead ? new long[] {33, 10} : new long[] {0, 0};
        }

        /** Of both streams together: they come from one source, in order. */
        long watermark() {
            return (period[0] == 0 ? Math.max(next[0], next[1]) : Math.min(next[0], next[1])) - 1;
        }

        @Override
        public void onEvent(Tuple3<Long, Integer, Double> element, long at, WatermarkOutput out) {
            next[element.f1] = at + period[element.f1];
            if (afterEach && watermark() > 0) {
                out.emitWatermark(new Watermark(watermark()));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput out) {
            if (!afterEach && watermark() > 0) {
                out.emitWatermark(new Watermark(watermark()));
            }
        }
    }

    static class Mean implements AggregateFunction<Tuple3<Long, Integer, Double>, Tuple2<Long, Double>, Tuple2<Long, Double>> {
        @Override
        public Tuple2<Long, Double> createAccumulator() {
            return Tuple2.of(0L, 0.0);
        }

        @Override
        public Tuple2<Long, Double> add(Tuple3<Long, Integer, Double> element, Tuple2<Long, Double> sum) {
            sum.f0++;
            sum.f1 += element.f2;
            return sum;
        }

        @Override
        public Tuple2<Long, Double> getResult(Tuple2<Long, Double> sum) {
            return sum;
        }

        @Override
        public Tuple2<Long, Double> merge(Tuple2<Long, Double> a, Tuple2<Long, Double> b) {
            return Tuple2.of(a.f0 + b.f0, a.f1 + b.f1);
        }
    }

    static class Log implements SinkFunction<Tuple3<Long, Integer, Double>> {
        @Override
        public void invoke(Tuple3<Long, Integer, Double> result, Context context) {
            GIVEN.add(new long[] {result.f0, result.f1, Math.round(result.f2 * 1024), System.nanoTime()});
        }
    }

    static void inRealTime(String[] arguments, StreamExecutionEnvironment environment) throws Exception {
        long timer = Long.parseLong(arguments[2]);
        boolean ahead = arguments[4].equals("1");
        environment.getConfig().setAutoWatermarkInterval(timer);
        DataStream<Tuple3<Long, Integer, Double>> elements = environment
                .addSource(new RealTime(Long.parseLong(arguments[1])))
                .returns(ELEMENT)
                .assignTimestampsAndWatermarks(WatermarkStrategy
                        .<Tuple3<Long, Integer, Double>>forGenerator(context -> new Marks(timer == 0, ahead))
                        .withTimestampAssigner((element, before) -> element.f0));
        if (arguments[0].equals("windows")) {
            elements.keyBy(element -> element.f1, Types.INT)
                    .window(SlidingEventTimeWindows.of(Duration.ofMillis(50), Duration.ofMillis(25)))
                    .aggregate(new Mean(), new EndOf())
                    .returns(ELEMENT)
                    .addSink(new Log());
        } else {
            elements.filter(element -> element.f1 == CAMERA)
                    .keyBy(element -> 0, Types.INT)
                    .intervalJoin(elements.filter(element -> element.f1 == SENSOR).keyBy(element -> 0, Types.INT))
                    .between(Duration.ofMillis(-10), Duration.ofMillis(10))
                    .process(new Pairs())
                    .returns(ELEMENT)
                    .addSink(new Log());
        }
        environment.execute();
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[5])))) {
            out.println("begin," + begin);
            TAKEN.forEach(row -> out.printf("in,%d,%d,%d%n", row[0], row[1], row[2]));
            GIVEN.forEach(row -> out.printf("out,%d,%d,%d,%d%n", row[0], row[1], row[2], row[3]));
        }
    }

    /** End, stream and sum of a window. */
    static class EndOf extends
            ProcessWindowFunction<Tuple2<Long, Double>, Tuple3<Long, Integer, Double>, Integer, TimeWindow> {
        @Override
        public void process(
                Integer stream,
                Context context,
                Iterable<Tuple2<Long, Double>> sums,
                Collector<Tuple3<Long, Integer, Double>> out) {
            out.collect(Tuple3.of(context.window().getEnd(), stream, sums.iterator().next().f1));
        }
    }

    /** Both times of a pair: the reading's in place of a value. */
    static class Pairs extends
            ProcessJoinFunction<
                    Tuple3<Long, Integer, Double>, Tuple3<Long, Integer, Double>, Tuple3<Long, Integer, Double>> {
        @Override
        public void processElement(
                Tuple3<Long, Integer, Double> frame,
                Tuple3<Long, Integer, Double> reading,
                Context context,
                Collector<Tuple3<Long, Integer, Double>> out) {
            out.collect(Tuple3.of(frame.f0, SENSOR, reading.f0 / 1024.0));
        }
    }

    // ---------------------------------------------------------------------------------------- as fast as it goes

    static long[] times;
    static double[] values;
    static volatile long first, last;
    /** Time of the frame, end of the window and its sum and count, of each result. */
    static final List<long[]> RESULTS = new ArrayList<>();

    static void load(Path input) throws Exception {
        List<String> lines = Files.readAllLines(input);
        times = new long[lines.size()];
        values = new double[lines.size()];
        for (int i = 0; i < times.length; i++) {
            String[] fields = lines.get(i).split(",");
            times[i] = Long.parseLong(fields[0]);
            // A frame has no value.
            values[i] = fields[1].equals("1") ? Double.parseDouble(fields[2]) : Double.NaN;
        }
    }

    static class Fast implements SourceFunction<Tuple3<Long, Integer, Double>> {
        @Override
        public void run(SourceContext<Tuple3<Long, Integer, Double>> context) {
            first = System.nanoTime();
            for (int i = 0; i < times.length; i++) {
                boolean isFrame = Double.isNaN(values[i]);
                context.collect(Tuple3.of(times[i], isFrame ? CAMERA : SENSOR, isFrame ? 0.0 : values[i]));
            }
        }

        @Override
        public void cancel() {}
    }

    static class Every implements WatermarkGenerator<Tuple3<Long, Integer, Double>> {
        final long every;
        long said = Long.MIN_VALUE;

        Every(long every) {
            this.every = every;
        }

        @Override
        public void onEvent(Tuple3<Long, Integer, Double> element, long at, WatermarkOutput out) {
            if (said == Long.MIN_VALUE || at - said >= every) {
                said = at;
                out.emitWatermark(new Watermark(at - 1));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput out) {}
    }

    static class MeanOf extends
            ProcessWindowFunction<Tuple2<Long, Double>, Tuple3<Long, Integer, Double>, Integer, TimeWindow> {
        @Override
        public void process(
                Integer stream,
                Context context,
                Iterable<Tuple2<Long, Double>> sums,
                Collector<Tuple3<Long, Integer, Double>> out) {
            Tuple2<Long, Double> sum = sums.iterator().next();
            out.collect(Tuple3.of(context.window().getEnd(), SENSOR, sum.f1 / sum.f0));
        }
    }

    static class Aligned extends
            ProcessJoinFunction<
                    Tuple3<Long, Integer, Double>, Tuple3<Long, Integer, Double>, Tuple3<Long, Integer, Double>> {
        @Override
        public void processElement(
                Tuple3<Long, Integer, Double> window,
                Tuple3<Long, Integer, Double> frame,
                Context context,
                Collector<Tuple3<Long, Integer, Double>> out) {
            out.collect(Tuple3.of(frame.f0, 0, window.f2));
        }
    }

    /**
     * Each frame with the result that ended last before it, less than 25 ms ago: what one writes for Flink in place of an
     * interval join, which looks at everything that it keeps for each element. Both come in order, and readings go on after
     * the last frame.
     */
    static class AsOf extends
            CoProcessFunction<
                    Tuple3<Long, Integer, Double>, Tuple3<Long, Integer, Double>, Tuple3<Long, Integer, Double>> {
        transient ArrayDeque<Tuple3<Long, Integer, Double>> means;
        transient ArrayDeque<Long> frames;
        long reached = Long.MIN_VALUE;

        @Override
        public void open(OpenContext context) {
            means = new ArrayDeque<>();
            frames = new ArrayDeque<>();
        }

        @Override
        public void processElement1(
                Tuple3<Long, Integer, Double> mean, Context context, Collector<Tuple3<Long, Integer, Double>> out) {
            means.add(Tuple3.of(mean.f0, mean.f1, mean.f2));
            reached = mean.f0;
            settle(out);
        }

        @Override
        public void processElement2(
                Tuple3<Long, Integer, Double> frame, Context context, Collector<Tuple3<Long, Integer, Double>> out) {
            frames.add(frame.f0);
            settle(out);
        }

        /** A frame's result is known when a later one has come. */
        void settle(Collector<Tuple3<Long, Integer, Double>> out) {
            while (!frames.isEmpty() && frames.peek() < reached) {
                long at = frames.poll();
                while (means.peek().f0 <= at - 25) {
                    means.poll();
                }
                // Windows end 25 ms apart: there is one, or none.
                if (means.peek().f0 <= at) {
                    out.collect(Tuple3.of(at, 0, means.peek().f2));
                }
            }
        }
    }

    static class Keep implements SinkFunction<Tuple3<Long, Integer, Double>> {
        @Override
        public void invoke(Tuple3<Long, Integer, Double> result, Context context) {
            RESULTS.add(new long[] {result.f0, Double.doubleToLongBits(result.f2)});
        }

        /** The end of all input has come through: what follows is the end of the job. */
        @Override
        public void finish() {
            last = System.nanoTime();
        }
    }

    static void chain(boolean join, long every) throws Exception {
        StreamExecutionEnvironment environment = environment(100);
        DataStream<Tuple3<Long, Integer, Double>> elements = environment
                .addSource(new Fast())
                .returns(ELEMENT)
                .assignTimestampsAndWatermarks(WatermarkStrategy
                        .<Tuple3<Long, Integer, Double>>forGenerator(context -> new Every(every))
                        .withTimestampAssigner((element, before) -> element.f0));
        SingleOutputStreamOperator<Tuple3<Long, Integer, Double>> means = elements
                .filter(element -> element.f1 == SENSOR)
                .filter(element -> element.f2 > 0.25)
                .map(element -> Tuple3.of(element.f0, element.f1, element.f2 * 2 + 1))
                .returns(ELEMENT)
                .keyBy(element -> element.f1, Types.INT)
                .window(SlidingEventTimeWindows.of(Duration.ofMillis(50), Duration.ofMillis(25)))
                .aggregate(new Mean(), new MeanOf())
                .returns(ELEMENT);
        DataStream<Tuple3<Long, Integer, Double>> frames = elements.filter(element -> element.f1 == CAMERA);
        // A result lies 1 ms before its window's end: those that ended less than 25 ms before the frame, or at it.
        SingleOutputStreamOperator<Tuple3<Long, Integer, Double>> aligned = join
                ? means.keyBy(mean -> 0, Types.INT)
                        .intervalJoin(frames.keyBy(frame -> 0, Types.INT))
                        .between(Duration.ofMillis(1), Duration.ofMillis(25))
                        .process(new Aligned())
                : means.connect(frames).process(new AsOf());
        aligned.returns(ELEMENT).addSink(new Keep());
        environment.execute();
    }

    static StreamExecutionEnvironment environment(long timeout) {
        Configuration configuration = new Configuration();
        if (timeout == 0) {
            // Little waits in buffers that are sent at once.
            configuration.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(8));
            configuration.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(8));
        }
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        environment.getConfig().enableObjectReuse();
        environment.setBufferTimeout(timeout);
        return environment;
    }

    public static void main(String[] arguments) throws Exception {
        if (!arguments[0].equals("chain")) {
            inRealTime(arguments, environment(Long.parseLong(arguments[3])));
            return;
        }
        load(Path.of(arguments[2]));
        int passes = Integer.parseInt(arguments[4]);
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[5])))) {
            for (int pass = 0; pass < passes; pass++) {
                RESULTS.clear();
                chain(arguments[1].equals("join"), Long.parseLong(arguments[3]));
                out.println("ns," + (last - first));
            }
            RESULTS.forEach(row -> out.printf("result,%d,%s%n", row[0], Long.toHexString(row[1])));
        }
    }
}
