package android.app;

import android.content.Context;
import android.content.res.AssetManager;
import android.os.Bundle;
import android.view.View;

/** What examples/android uses of Android's class of this name: it is compiled, and not run. */
public class Activity extends Context {
    protected void onCreate(Bundle state) {}
    protected void onDestroy() {}
    public void setContentView(View view) {}
    public AssetManager getAssets() { return new AssetManager(); }
}
