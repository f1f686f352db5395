/* The windows of many recorded streams by Apache Flink. See flink.py.
 *
 * usage: Flink ASKED GIVEN CASES_OF_A_JOB
 *
 * A watermark follows every element, so that results do not depend on a timer. One of Flink says that nothing at or before
 * it comes any more, so it lies 1 ms before the bound. Each case is a pipeline of its own with a parallelism of one; what
 * it gives is kept in a queue of its own in this process.
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

import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.datastream.WindowedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.EventTimeSessionWindows;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.streaming.api.windowing.windows.Window;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

public class Flink {
    /** Results of the cases, by their number. */
    static final Map<Integer, Queue<String>> GIVEN = new ConcurrentHashMap<>();

    /** Milliseconds, key, value, number. */
    static final TypeInformation<Tuple4<Long, Integer, Double, Long>> ELEMENT =
            Types.TUPLE(Types.LONG, Types.INT, Types.DOUBLE, Types.LONG);

    record Case(int number, String[] settings, List<Tuple4<Long, Integer, Double, Long>> elements) {
        long setting(int place) {
            return Long.parseLong(settings[place]);
        }
    }

    static class AfterEach implements WatermarkGenerator<Tuple4<Long, Integer, Double, Long>> {
        final long lag;
        long latest = Long.MIN_VALUE;

        AfterEach(long lag) {
            this.lag = lag;
        }

        @Override
        public void onEvent(Tuple4<Long, Integer, Double, Long> element, long at, WatermarkOutput out) {
            if (at > latest) {
                latest = at;
                out.emitWatermark(new Watermark(latest - lag - 1));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput out) {}
    }

    static class Tell<W extends Window>
            extends ProcessWindowFunction<Tuple4<Long, Integer, Double, Long>, String, Integer, W> {
        final int number;

        Tell(int number) {
            this.number = number;
        }

        @Override
        public void process(
                Integer key,
                Context context,
                Iterable<Tuple4<Long, Integer, Double, Long>> elements,
                Collector<String> out) {
            long count = 0;
            double sum = 0, least = Double.POSITIVE_INFINITY, greatest = Double.NEGATIVE_INFINITY;
            Tuple4<Long, Integer, Double, Long> first = null, last = null;
            for (Tuple4<Long, Integer, Double, Long> element : elements) {
                count++;
                sum += element.f2;
                least = Math.min(least, element.f2);
                greatest = Math.max(greatest, element.f2);
                first = first == null || isBefore(element, first) ? element : first;
                last = last == null || isBefore(last, element) ? element : last;
            }
            long start = 0, end = 0;
            if (context.window() instanceof TimeWindow window) {
                start = window.getStart();
                end = window.getEnd();
            }
            GIVEN.get(number).add(String.format(
                    "%d,window,%d,%d,%d,%d,%s,%s,%s,%d,%d",
                    number, key, start, end, count, text(sum), text(least), text(greatest), first.f3, last.f3));
        }

        static String text(double value) {
            return new java.math.BigDecimal(value).setScale(10).toPlainString();
        }

        static boolean isBefore(Tuple4<Long, Integer, Double, Long> a, Tuple4<Long, Integer, Double, Long> b) {
            return a.f0 < b.f0 || (a.f0.equals(b.f0) && a.f3 < b.f3);
        }
    }

    static void build(StreamExecutionEnvironment environment, Case asked) {
        GIVEN.put(asked.number, new ConcurrentLinkedQueue<>());
        String kind = asked.settings[1];
        long lateness = asked.setting(5), lag = asked.setting(6);
        KeyedStream<Tuple4<Long, Integer, Double, Long>, Integer> keyed = environment
                .fromData(asked.elements, ELEMENT)
                .assignTimestampsAndWatermarks(WatermarkStrategy
                        .<Tuple4<Long, Integer, Double, Long>>forGenerator(context -> new AfterEach(lag))
                        .withTimestampAssigner((element, before) -> element.f0))
                .keyBy(element -> element.f1, Types.INT);
        if (kind.equals("count")) {
            keyed.countWindow(asked.setting(2), asked.setting(3))
                    .process(new Tell<>(asked.number))
                    .returns(Types.STRING)
                    .sinkTo(new DiscardingSink<>());
            return;
        }
        WindowedStream<Tuple4<Long, Integer, Double, Long>, Integer, TimeWindow> windows =
                kind.equals("session")
                        ? keyed.window(EventTimeSessionWindows.withGap(Duration.ofMillis(asked.setting(2))))
                        : keyed.window(SlidingEventTimeWindows.of(
                                Duration.ofMillis(asked.setting(2)),
                                Duration.ofMillis(asked.setting(3)),
                                Duration.ofMillis(asked.setting(4))));
        OutputTag<Tuple4<Long, Integer, Double, Long>> late = new OutputTag<>("late", ELEMENT);
        SingleOutputStreamOperator<String> results = windows
                .allowedLateness(Duration.ofMillis(lateness))
                .sideOutputLateData(late)
                .process(new Tell<>(asked.number))
                .returns(Types.STRING);
        results.sinkTo(new DiscardingSink<>());
        int number = asked.number;
        results.getSideOutput(late)
                .process(new ProcessFunction<Tuple4<Long, Integer, Double, Long>, String>() {
                    @Override
                    public void processElement(
                            Tuple4<Long, Integer, Double, Long> element, Context context, Collector<String> out) {
                        GIVEN.get(number).add(number + ",late," + element.f3);
                    }
                })
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
                cases.get(cases.size() - 1).elements.add(Tuple4.of(
                        Long.parseLong(fields[0]),
                        Integer.parseInt(fields[1]),
                        Double.parseDouble(fields[2]),
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
