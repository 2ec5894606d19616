// A real run of the recipe, walked through: what each step measured, and the rule that decided.

import { spaced } from "../engine/statistics.js";
import { slider } from "../frame/controls.js";
import { percent, written } from "../frame/dom.js";
import { WINE_RUN } from "./wine_run.js";

const COLOURS = ["orange", "blue"], ENOUGH = 1.959963984540054; // half width of a 95 % interval, in standard errors
const CHINESE = [
  ["SGD with momentum, rate", "带动量的 SGD，学习率"], ["Adam, rate", "Adam，学习率"], ["cosine, rate", "余弦，学习率"], ["exponential, rate", "指数，学习率"], ["decoupled decay", "解耦权重衰减"],
  [" in the last layer", "（最后一层）"], ["; ", "；"], ["majority class", "多数类"], ["logistic regression", "逻辑回归"], ["gradient-boosted trees", "梯度提升树"], ["nearest neighbours", "最近邻"],
];
const named = (text) => [text, CHINESE.reduce((t, [a, b]) => t.replaceAll(a, b), text)];
const STEPS = [
  ["Step 1, the loss: 3 classes, so softmax with cross-entropy.", "第 1 步，损失：3 个类别，因此用 softmax 加交叉熵。"],
  ["Step 2, a first architecture: one hidden layer of 32 units, wider than the rules of thumb, because step 4 can shrink it.", "第 2 步，初始结构：一个 32 个单元的隐藏层，比经验法则更宽，因为第 4 步可以缩小它。"],
  ["Step 3, fit the training set: the range test gives a rate; then another rate, Adam and decay are tried.", "第 3 步，拟合训练集：范围测试给出学习率；然后尝试其他学习率、Adam 和衰减。"],
  ["Step 4, fit the validation set: dropout, then L2 and decoupled decay.", "第 4 步，拟合验证集：先 dropout，再 L2 与解耦衰减。"],
  ["Step 5, the test set, read once: the network beside baselines.", "第 5 步，测试集，只读一次：网络与基线方法并列。"],
  ["Step 6, the real world: how sure a score is depends on the rows it is measured on.", "第 6 步，真实世界：得分有多可靠取决于测量它的行数。"],
];

/** Wilson's 95 % interval of a share of n rows. */
function wilson(share, n) {
  const z = ENOUGH, centre = (share + (z * z) / (2 * n)) / (1 + (z * z) / n), half = (z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n))) / (1 + (z * z) / n);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

const optionsOf = (step) => WINE_RUN.decisions.filter((one) => one.step === step && one.gains.length).flatMap((one) => one.gains.map((gain) => ({ topic: one.topic, chosen: one.chosen, gain })));
const clears = ([, gain, half], strict) => gain > 0 && gain - strict * half > 0;
/** The rate of the lowest loss, and a tenth of it. */
const suggestion = ({ rates, losses }) => {
  const known = losses.map((v) => v ?? Infinity);
  return rates[known.indexOf(Math.min(...known))] / 10;
};
const units = (rows, inputs, outputs) => ({ midpoint: (inputs + outputs) / 2, wide: rows / (2 * (inputs + outputs)), narrow: rows / (10 * (inputs + outputs)) });

function gainsFigure(options, strict) {
  const place = options.map((_, k) => k), limits = options.map(({ gain: [, g, h] }) => [g - strict * h, g + strict * h]);
  return {
    title: ["What each remedy gains on the validation loss, with its interval", "每种补救办法在验证损失上的增益及其区间"], height: 60 + 26 * options.length, x: { label: ["gain (right of 0 is better)", "增益（0 的右侧为更好）"], round: true }, y: { label: ["remedy", "办法"], names: options.map((_, k) => String(k + 1)) },
    layers: [
      { kind: "mark", x: [0] }, ...place.map((k) => ({ kind: "line", x: limits[k], y: [k, k], colour: clears(options[k].gain, strict) ? "green" : "grey", width: 3 })),
      { kind: "points", x: options.map(({ gain }) => gain[1]), y: place, colour: "blue", size: 4.5 },
    ],
  };
}

function gainsTable(options, strict) {
  const verdict = (gain) => (clears(gain, strict) ? ["adopted", "采用"] : ["inside the noise", "在噪声之内"]);
  return { head: ["", ["remedy", "办法"], ["gain g", "增益 g"], ["half width h", "半宽 h"], ["decision", "决定"]], rows: options.map(({ gain }, k) => [String(k + 1), named(gain[0]), gain[1], gain[2], verdict(gain)]) };
}

const testFigure = () => ({
  title: ["The range test of this run", "本次运行的范围测试"], lost: true, height: 250, x: { label: ["learning rate", "学习率"], log: true }, y: { label: ["loss", "损失"], low: 0, high: 1.4 },
  layers: WINE_RUN.tests.flatMap((test, k) => [{ kind: "line", x: test.rates, y: test.losses.map((v) => v ?? NaN), colour: COLOURS[k], name: test.name }, { kind: "mark", x: [suggestion(test)], colour: COLOURS[k], name: [`suggested for ${test.name}`, `对 ${test.name} 的建议`] }]),
});

function scoresFigure(n) {
  const all = [{ name: "Luthier", test: WINE_RUN.accuracy.value }, ...WINE_RUN.baselines], limits = all.map(({ test }) => wilson(test, n));
  return {
    figure: { title: [`Accuracy on ${n} test rows, with 95 % intervals`, `${n} 个测试行上的准确率及 95 % 区间`], height: 60 + 30 * all.length, x: { label: ["accuracy", "准确率"], low: 0, high: 1 }, y: { label: "", names: all.map((_, k) => String(k + 1)) }, layers: [...limits.map((pair, k) => ({ kind: "line", x: pair, y: [k, k], colour: k ? "grey" : "blue", width: 3 })), { kind: "points", x: all.map(({ test }) => test), y: all.map((_, k) => k), colour: "blue", size: 4.5 }] },
    table: { head: ["", ["model", "模型"], ["accuracy", "准确率"], ["95 % interval", "95 % 区间"]], rows: all.map(({ name, test }, k) => [String(k + 1), named(name), percent(test), limits[k].map((v) => percent(v)).join(" – ")]) },
  };
}

function* view({ step, strict, rows }) {
  const at = Math.round(step), message = STEPS[at - 1], options = optionsOf(at), n = Math.round(rows), rule = units(107, WINE_RUN.columns, WINE_RUN.classes);
  if (at === 1) {
    const lines = [[["a number", "数值"], ["mean squared error", "均方误差"]], [["two classes", "两个类别"], ["binary cross-entropy", "二元交叉熵"]], [["several classes (this run)", "多个类别（本次运行）"], ["softmax with cross-entropy", "softmax 加交叉熵"]]];
    const classes = spaced(2, 20, 19);
    yield { message, table: { head: [["target", "目标"], ["loss", "损失"]], rows: lines }, figures: [{ title: ["Loss before training: a uniform prediction, by the number of classes", "训练前的损失：均匀预测，随类别数变化"], height: 230, x: { label: ["classes", "类别数"] }, y: { label: ["loss", "损失"], low: 0 }, layers: [{ kind: "line", x: classes, y: classes.map(Math.log), colour: "grey" }, { kind: "points", x: [3], y: [Math.log(3)], colour: "blue", size: 5, name: ["this run", "本次运行"] }] }] };
  } else if (at === 2) {
    const bars = [rule.midpoint, rule.wide, rule.narrow, 32];
    yield { message, figures: [{ title: ["Hidden units by rule of thumb, and what the run chose", "经验法则给出的隐藏单元数与运行的选择"], height: 240, x: { label: ["1 midpoint, 2 rows over 2 (in + out), 3 rows over 10 (in + out), 4 chosen", "1 中点，2 行数除以 2 (入 + 出)，3 行数除以 10 (入 + 出)，4 所选"], names: ["1", "2", "3", "4"] }, y: { label: ["units", "单元数"], low: 0, high: 36 }, layers: [{ kind: "bars", x: [0, 1, 2, 3], y: bars, colours: ["grey", "grey", "grey", "blue"], colour: "grey", labels: bars.map((v) => written(v, 2)), width: 0.5 }] }] };
  } else if (at <= 4) {
    yield { message, figures: [...(at === 3 ? [testFigure()] : []), gainsFigure(options, strict)], table: gainsTable(options, strict) };
  } else if (at === 5) {
    const { figure, table } = scoresFigure(n);
    yield { message, figures: [figure], table };
  } else {
    const sizes = spaced(1, 3.5, 60).map((v) => 10 ** v), pairs = sizes.map((size) => wilson(WINE_RUN.accuracy.value, size));
    yield { message, figures: [{ title: ["The 95 % interval of an accuracy of 97 %, by the number of rows", "97 % 准确率的 95 % 区间，随行数变化"], x: { label: ["rows", "行数"], log: true }, y: { label: ["accuracy", "准确率"], low: 0.7, high: 1 }, layers: [{ kind: "band", x: sizes, low: pairs.map((p) => p[0]), high: pairs.map((p) => p[1]), colour: "blue", name: ["95 % interval", "95 % 区间"] }, { kind: "mark", x: [n], name: ["rows of the test set", "测试集行数"] }, { kind: "mark", y: [WINE_RUN.accuracy.value], name: ["accuracy", "准确率"] }] }] };
  }
}

function* numbers() {
  const measured = WINE_RUN.decisions.filter((one) => one.gains.length), order = (topic) => WINE_RUN.decisions.findIndex((one) => one.topic === topic), steps = WINE_RUN.decisions.filter((one) => one.topic !== "baselines").map((one) => one.step);
  const digits = units(50000, 784, 10), here = units(107, WINE_RUN.columns, WINE_RUN.classes), [low, high] = wilson(WINE_RUN.accuracy.value, WINE_RUN.accuracy.n), inOrder = (...topics) => (topics.every((t, k) => order(t) >= 0 && (!k || order(t) > order(topics[k - 1]))) ? 1 : 0);
  yield {
    ordered: steps.every((s, k) => !k || s >= steps[k - 1]) ? 1 : 0, steps: STEPS.length, start: Math.log(WINE_RUN.classes), midpoint: digits.midpoint, wide: digits.wide, narrow: digits.narrow, hereMidpoint: here.midpoint, hereWide: here.wide,
    sgd: suggestion(WINE_RUN.tests[0]), adam: suggestion(WINE_RUN.tests[1]), fitting: inOrder("rate", "Adam", "decay"), validating: inOrder("dropout, last layer", "L2"),
    adopted: measured.filter((one) => one.gains.some((gain) => clears(gain, 1))).length, hasty: measured.filter((one) => one.gains.some((gain) => clears(gain, 0))).length, measured: measured.length, score: WINE_RUN.accuracy.value, low, high,
  };
}

export const page = {
  controls: [
    slider("step", ["step of the recipe", "配方的步骤"], 1, 6, 1, 3),
    slider("strict", ["half widths that a gain has to clear", "增益须超过的半宽倍数"], 0, 2, 0.1, 1),
    slider("rows", ["rows of the test set", "测试集行数"], 10, 1000, 1, 36),
  ],
  presets: [{ name: ["believe every gain", "相信一切增益"], values: { step: 3, strict: 0 } }, { name: ["1000 test rows", "1000 个测试行"], values: { step: 5, rows: 1000 } }],
  play: "step",
  view,
  numbers,
};
