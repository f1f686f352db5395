/* The interval joins of many recorded pairs of streams by Apache Flink. See flink_join.py.
 *
 * usage: FlinkJoin ASKED GIVEN CASES_OF_A_JOB
 *
 * Flink reads the two inputs of a join as they happen to come. To have them in the order of the record, the source gives an
 * element and then a marker on the same side, and goes on when the join has seen the marker: whatever came of the element,
 * its watermark too, is done by then. A marker has a key of its own and lies far in the future, so it changes nothing.
 */
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;

import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.streaming.api.functions.co.ProcessJoinFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.source.legacy.SourceFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

public class FlinkJoin {
    /** What stands in place of a key in a row that says that its side falls silent. */
    static final int SILENT = -1;
    static final int MARKER = -2;
    static final long FAR = Long.MAX_VALUE / 4;

    /** Milliseconds, key, side, number. */
    static final TypeInformation<Tuple4<Long, Integer, Integer, Long>> ELEMENT =
            Types.TUPLE(Types.LONG, Types.INT, Types.INT, Types.LONG);

    /** Results of the cases, by their number. */
    static final Map<Integer, Queue<String>> GIVEN = new ConcurrentHashMap<>();

    record Case(int number, String[] settings, List<Tuple4<Long, Integer, Integer, Long>> rows) {
        long setting(int place) {
            return Long.parseLong(settings[place]);
        }
    }

    /** One element at a time. */
    static class Turns implements SourceFunction<Tuple4<Long, Integer, Integer, Long>> {
        final int number;
        final List<Tuple4<Long, Integer, Integer, Long>> rows;
        static final Map<Integer, Semaphore> SEEN = new ConcurrentHashMap<>();
        static final Map<Integer, Thread> GIVERS = new ConcurrentHashMap<>();

        Turns(Case asked) {
            number = asked.number;
            rows = asked.rows;
            SEEN.put(number, new Semaphore(0));
        }

        @Override
        public void run(SourceContext<Tuple4<Long, Integer, Integer, Long>> context) throws Exception {
            GIVERS.put(number, Thread.currentThread());
            for (Tuple4<Long, Integer, Integer, Long> row : rows) {
                context.collect(row);
                context.collect(Tuple4.of(FAR, MARKER, row.f2, row.f3));
                SEEN.get(number).acquire();
            }
        }

        @Override
        public void cancel() {}
    }

    /** Asked by whoever sends an element, and again by the join before it takes it in. */
    static class Key implements KeySelector<Tuple4<Long, Integer, Integer, Long>, Long> {
        final int number;

        Key(int number) {
            this.number = number;
        }

        @Override
        public Long getKey(Tuple4<Long, Integer, Integer, Long> element) {
            if (element.f1 == MARKER && Thread.currentThread() != Turns.GIVERS.get(number)) {
                Turns.SEEN.get(number).release();
            }
            return element.f1 < 0 ? -1 - element.f3 : element.f1;
        }
    }

    static class AfterEach implements WatermarkGenerator<Tuple4<Long, Integer, Integer, Long>> {
        final long lag;
        long latest = Long.MIN_VALUE;

        AfterEach(long lag) {
            this.lag = lag;
        }

        @Override
        public void onEvent(Tuple4<Long, Integer, Integer, Long> element, long at, WatermarkOutput out) {
            if (element.f1 == SILENT) {
                out.markIdle();
            } else if (element.f1 != MARKER) {
                out.markActive();
                if (at > latest) {
                    latest = at;
                    out.emitWatermark(new Watermark(latest - lag - 1));
                }
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput out) {}
    }

    static class Tell extends
            ProcessJoinFunction<
                    Tuple4<Long, Integer, Integer, Long>, Tuple4<Long, Integer, Integer, Long>, String> {
        final int number;

        Tell(int number) {
            this.number = number;
        }

        @Override
        public void processElement(
                Tuple4<Long, Integer, Integer, Long> left,
                Tuple4<Long, Integer, Integer, Long> right,
                Context context,
                Collector<String> out) {
            GIVEN.get(number).add(
                    String.format("%d,pair,%d,%d,%d", number, left.f3, right.f3, context.getTimestamp()));
        }
    }

    static class TellLate extends ProcessFunction<Tuple4<Long, Integer, Integer, Long>, String> {
        final int number;

        TellLate(int number) {
            this.number = number;
        }

        @Override
        public void processElement(
                Tuple4<Long, Integer, Integer, Long> element, Context context, Collector<String> out) {
            GIVEN.get(number).add(number + ",late," + element.f3);
        }
    }

    static KeyedStream<Tuple4<Long, Integer, Integer, Long>, Long> side(
            DataStream<Tuple4<Long, Integer, Integer, Long>> both, int side, Case asked, long lag) {
        return both.filter(element -> element.f2 == side)
                .assignTimestampsAndWatermarks(WatermarkStrategy
                        .<Tuple4<Long, Integer, Integer, Long>>forGenerator(context -> new AfterEach(lag))
                        .withTimestampAssigner((element, before) -> element.f1 < 0 ? FAR : element.f0))
                .keyBy(new Key(asked.number), Types.LONG);
    }

    static void build(StreamExecutionEnvironment environment, Case asked) {
        GIVEN.put(asked.number, new ConcurrentLinkedQueue<>());
        DataStream<Tuple4<Long, Integer, Integer, Long>> both =
                environment.addSource(new Turns(asked)).returns(ELEMENT);
        OutputTag<Tuple4<Long, Integer, Integer, Long>> late = new OutputTag<>("late", ELEMENT);
        KeyedStream.IntervalJoined<
                        Tuple4<Long, Integer, Integer, Long>, Tuple4<Long, Integer, Integer, Long>, Long>
                join = side(both, 0, asked, asked.setting(5))
                        .intervalJoin(side(both, 1, asked, asked.setting(6)))
                        .between(Duration.ofMillis(asked.setting(1)), Duration.ofMillis(asked.setting(2)))
                        .sideOutputLeftLateData(late)
                        .sideOutputRightLateData(late);
        if (asked.setting(3) == 1) {
            join = join.lowerBoundExclusive();
        }
        if (asked.setting(4) == 1) {
            join = join.upperBoundExclusive();
        }
        SingleOutputStreamOperator<String> pairs = join.process(new Tell(asked.number)).returns(Types.STRING);
        pairs.sinkTo(new DiscardingSink<>());
        pairs.getSideOutput(late)
                .process(new TellLate(asked.number))
                .returns(Types.STRING)
                .sinkTo(new DiscardingSink<>());
    }

    public static void main(String[] arguments) throws Exception {
        List<Case> cases = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] fields = line.split(",");
            if (fields[0].equals("case")) {
                cases.add(new Case(cases.size(), fields, new ArrayList<>()));
            } else {
                cases.get(cases.size() - 1).rows.add(Tuple4.of(
                        Long.parseLong(fields[0]),
                        Integer.parseInt(fields[1]),
                        Integer.parseInt(fields[2]),
                        Long.parseLong(fields[3])));
            }
        }
        int together = Integer.parseInt(arguments[2]);
        Configuration configuration = new Configuration();
        configuration.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(128));
        configuration.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(128));
        for (int first = 0; first < cases.size(); first += together) {
            StreamExecutionEnvironment environment =
                    StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
            environment.getConfig().setAutoWatermarkInterval(0);
            // What waits in a buffer would be waited for.
            environment.setBufferTimeout(0);
            for (Case asked : cases.subList(first, Math.min(first + together, cases.size()))) {
                build(environment, asked);
            }
            environment.execute();
        }
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[1])))) {
            for (Case asked : cases) {
                GIVEN.get(asked.number).forEach(out::println);
            }
        }
    }
}
